"""What a metric's SQL gives, from a stream of events, whatever engine runs it."""

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.columns import Type
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.tables import table
from lakehouse.semantics import Event
from lakehouse.semantics.log import assemble
from lakehouse.semantics.metrics import placeholder, refresh_sql
from lakehouse.semantics.windows import utc_date
from tests.lake import expected, frame

Run = Callable[..., pl.DataFrame]
"""Runs SQL of the common dialect over frames, by name."""


def bronze(name: str, stream: Iterable[Event]) -> pl.DataFrame:
    """The valid records of a stream in a bronze table, duplicates among them."""
    topic = next(topic for topic, contract in EVENTS.items() if name == f"bronze.{contract.table}")
    of_topic = (event for event in stream if event.topic == topic)
    return frame(name, (e._asdict() | {"value": b"", "arrival_date": utc_date(e.arrival)} for e in of_topic))


def rows_of(name: str, stream: Iterable[Event]) -> pl.DataFrame:
    """The table's compared columns, by the reference."""
    return expected(name, assemble(list(stream)).events).select(table(name).compared_columns)


def sources_of(name: str, stream: list[Event]) -> dict[str, pl.DataFrame]:
    """By name in SQL, what the table is computed from: bronze, or the reference's rows."""
    events = assemble(stream).events
    return {
        placeholder(source): bronze(source, stream) if table(source).layer == "bronze" else expected(source, events)
        for source in table(name).reads
    }


def refreshed(run: Run, name: str, stream: list[Event]) -> pl.DataFrame:
    """The same columns by the table's SQL, sorted by key."""
    return typed(name, run(refresh_sql(name), **sources_of(name, stream)))


def typed(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` by the table's contract, without what is not compared, sorted by key."""
    contract, schema = table(name), polars_schema(table(name))
    return rows.select(pl.col(c).cast(schema[c]) for c in contract.compared_columns).sort(contract.key)


def plain(name: str, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as the reference has them: times in milliseconds, fingerprints as integers."""
    times = [c.name for c in table(name).columns if c.type is Type.TIMESTAMP]
    return rows.with_columns(pl.col(*times).dt.epoch("ms")).to_dicts() if times else rows.to_dicts()
