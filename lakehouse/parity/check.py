"""One gold row, recomputed by the reference from the raw records behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import table
from lakehouse.contracts.times import milliseconds
from lakehouse.explain.behind import ALERTS, EXPLAINED
from lakehouse.explain.explanation import Status
from lakehouse.explain.keys import as_typed, where_key
from lakehouse.explain.run import explain_row
from lakehouse.ledger.tables import Tables
from lakehouse.semantics.log import read_events
from lakehouse.semantics.reference import METRICS
from lakehouse.settings import Settings

SAMPLED: Final = tuple(name for name in EXPLAINED if name.startswith("gold.") and name != ALERTS)
"""Alerts are drawn from rows of other tables, and `lakehouse compare` compares those."""

_KAFKA: Final = ("topic", "partition", "offset", "arrival", "key", "value")

Key = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as Kafka had it and bronze keeps it (`lakehouse.semantics.log.KafkaRecord`)."""

    topic: str
    partition: int
    offset: int
    arrival_ms: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Checked:
    """`expected`: the reference's row by `records`, None if they make none. `columns`: those in which it differs from
    the `stored` one; all of them where there is none."""

    table: str
    version: int
    key: Key
    stored: Mapping[str, Any]
    expected: Mapping[str, Any] | None
    columns: tuple[str, ...]
    records: tuple[Record, ...]

    @property
    def equal(self) -> bool:
        return not self.columns

    @property
    def row(self) -> str:
        """The key as `lakehouse explain` takes it."""
        return as_typed(self.key)


def check_row(settings: Settings, name: str, key: Key) -> Checked:
    """Recomputes the row of this key, from what bronze held when it was last refreshed.

    Raises:
        NoSuchRowError: the row is gone: it was refreshed meanwhile.
        TableMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
    """
    found = explain_row(settings, name, key, last_change=False)
    waiting = found.of(Status.WAITING)
    lost = waiting.filter(_passed_by(settings, waiting, found.read)) if waiting.height else waiting
    used = pl.concat([found.of(Status.COUNTED, Status.LOOKED_AT, Status.DUPLICATE), lost])
    records = tuple(
        Record(topic, partition, offset, milliseconds(arrival), user.encode(), value)
        for topic, partition, offset, arrival, user, value in used.select(_KAFKA).iter_rows()
    )
    expected = recompute(name, key, records)
    differs = [c for c in table(name).compared_columns if expected is None or expected[c] != found.row[c]]
    return Checked(name, found.version, key, found.row, expected, tuple(differs), records)


def recompute(name: str, key: Key, records: tuple[Record, ...]) -> Mapping[str, Any] | None:
    """The reference's row of this key, by the types of the table's contract; None if the records make none."""
    contract = table(name)
    rows = to_frame(contract, METRICS[name].compute(read_events(records).events)).filter(where_key(contract, key))
    return rows.row(0, named=True) if rows.height else None


def _passed_by(settings: Settings, waiting: pl.DataFrame, read: Mapping[str, int]) -> pl.Series:
    """Of records that silver lacked when the row was computed, those that don't wait: silver had later ones of their
    partition, which it takes in order."""
    tables, passed = Tables(settings), []
    for topic, partition, offset in waiting.select("topic", "partition", "offset").iter_rows():
        name = f"silver.{EVENTS[topic].table}"
        later = tables.scan(name, read.get(name)).filter(pl.col("partition") == partition, pl.col("offset") > offset)
        passed.append(later.head(1).collect().height > 0)
    return pl.Series(passed, dtype=pl.Boolean)
