"""Delta tables filled with what the reference computes, for tests of what reads them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any, Final

import polars as pl
from polars.testing import assert_frame_equal

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.columns import Type
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, open_table, scan
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Events
from lakehouse.semantics.metrics.fraud_decisions.reference import decisions_as_they_came
from lakehouse.semantics.reference import METRICS
from lakehouse.semantics.windows import utc_date
from lakehouse.settings import Settings


def frame(name: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """The reference's rows (times in milliseconds) by the table's contract, in the order of its key."""
    contract = table(name)
    schema = polars_schema(contract)
    times = [c.name for c in contract.columns if c.type is Type.TIMESTAMP]
    plain = pl.Schema({n: pl.Int64() if n in times else t for n, t in schema.items()})
    filled = [dict.fromkeys(contract.not_compared, "reference") | dict(row) for row in rows]
    read = pl.DataFrame(filled, schema=plain, orient="row")
    milliseconds = [pl.from_epoch(pl.col(n), "ms").dt.cast_time_unit("us").dt.replace_time_zone("UTC") for n in times]
    return read.with_columns(milliseconds).sort(contract.key)


def decided(events: Events) -> Iterator[dict[str, Any]]:
    """What Flink says of transactions as they come."""
    for transaction, decision in decisions_as_they_came(events):
        row = transaction._asdict() | decision._asdict() | {"flagged": decision.flagged, "blocked": decision.blocked}
        row |= {
            "state_complete": True,
            "decided_at": transaction.arrival,
            "event_date": utc_date(transaction.event_time),
        }
        yield {name: row[name] for name in table("silver.fraud_online").column_names}


def sent(events: Events) -> Iterator[dict[str, Any]]:
    """The record of an alert for each that is flagged."""
    flagged = (row for row in decided(events) if row["flagged"])
    for offset, row in enumerate(flagged):
        position = {"topic": "shop.alerts", "partition": 0, "offset": offset, "arrival": row["arrival"]}
        message = {
            "rule": "fraud_flagged",
            "state": "opened",
            "dedup_key": row["event_id"],
            "key": b"ana",
            "value": b"{}",
        }
        yield message | position | {"record_hash": offset, "event_date": utc_date(row["arrival"])}


def letters(events: Events) -> Iterator[dict[str, Any]]:
    """A dead letter at the place of each click."""
    for click in events.clicks:
        position = {name: getattr(click, name) for name in ("topic", "partition", "offset", "arrival", "record_hash")}
        yield position | {
            "key": click.user_id.encode(),
            "value": b"{",
            "reason": "not_json",
            "field": None,
            "arrival_date": utc_date(click.arrival),
        }


_SAID: Final[dict[str, Callable[[Events], Iterator[dict[str, Any]]]]] = {
    "silver.fraud_online": decided,
    "silver.alerts_sent": sent,
    "bronze.dead_letters": letters,
}


def expected(name: str, events: Events, day: date | None = None) -> pl.DataFrame:
    """The reference's rows of a table, of one day where given; of what was said, what Flink says; of dead letters,
    made up ones."""
    compute = _SAID[name] if name in _SAID else METRICS[name].compute
    rows = frame(name, compute(events))
    return rows if day is None else rows.filter(pl.col("event_date") == day)


def fill(settings: Settings, events: Events, *names: str) -> None:
    """Appends the reference's rows of these tables."""
    for name in names:
        append(settings, name, to_arrow(name, expected(name, events)), Once.new("test"))


def stored(settings: Settings, name: str, day: date | None = None, version: int | None = None) -> pl.DataFrame:
    """A table's rows, in the order of its key."""
    days = (day, day) if day else None
    return scan(settings, name, version=version, dates=days).sort(table(name).key).collect()


def assert_rebuilt(settings: Settings, name: str, first: date, last: date) -> int:
    """Asserts that a table's staging table holds its rows of the days, or all if it has no days; how many."""
    contract = table(name)
    kept = scan(settings, name).collect()
    if "event_date" in contract.column_names:
        kept = kept.filter(pl.col("event_date").is_between(first, last))
    path = settings.table_path(f"staging.{name.replace('.', '__')}")
    rebuilt = pl.read_delta(path, storage_options=settings.delta_storage_options())
    columns = contract.compared_columns
    assert_frame_equal(rebuilt.select(columns).sort(contract.key), kept.select(columns).sort(contract.key))
    return kept.height


def keep_nothing(lake: Settings, name: str) -> None:
    """Removed files, and those in no version, are kept for no time."""
    never = {"delta.deletedFileRetentionDuration": "interval 0 seconds"}
    open_table(lake, name).alter.set_table_properties(never)
