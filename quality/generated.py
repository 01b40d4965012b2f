"""The rules that follow from a table's contract."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from lakehouse.contracts.columns import TableContract, Type
from lakehouse.contracts.events import (
    EARLIEST_TIME,
    EVENTS,
    MAX_CLOCK_SKEW_MS,
    MAX_ID_BYTES,
    PARTITIONS,
    Field,
    Kind,
    bounded_by_arrival,
)
from quality.rules import FrameRule, RowRule, Rule, Severity

_EARLIEST: Final = pl.lit(datetime.fromisoformat(EARLIEST_TIME).astimezone(UTC))
_HASH_BITS: Final = 60
_DATED_BY: Final = ("event_time", "window_start", "session_start")
"""The column whose UTC day `event_date` is; the first that a table has."""


def generated(contract: TableContract) -> Iterator[Rule]:
    """Nulls, key, ranges, dates and, of events, the payload's own bounds."""
    yield from _columns(contract)
    yield FrameRule(f"key ({', '.join(contract.key)}) is unique", lambda rows: _repeated(rows, contract.key))
    dated_by = next((name for name in _DATED_BY if name in contract.column_names), None)
    if contract.day == "event_date" and dated_by is not None:
        yield RowRule(f"event_date is the UTC day of {dated_by}", pl.col("event_date") != pl.col(dated_by).dt.date())
    if "fingerprint" in contract.column_names:
        yield from _rolled_up()
    event = EVENTS.get(f"shop.{contract.name.removeprefix('silver.')}") if contract.layer == "silver" else None
    if event is not None:
        for field in event.fields:
            yield from _payload(field)
        yield RowRule(f"topic is {event.topic}", pl.col("topic") != event.topic)
        yield RowRule(f"partition is below {PARTITIONS}", pl.col("partition") >= PARTITIONS)
        yield RowRule(f"record_hash has {_HASH_BITS} bits", pl.col("record_hash") >= 1 << _HASH_BITS)


def _columns(contract: TableContract) -> Iterator[Rule]:
    for column in contract.columns:
        if not column.nullable:
            yield RowRule(f"{column.name} is not null", pl.col(column.name).is_null())
        if column.money_sum:
            yield RowRule(f"{column.name} fits 64 bits", pl.col(column.name).is_null(), Severity.WARNING)
        if column.type in (Type.LONG, Type.INTEGER) and column.name != "events":
            yield RowRule(f"{column.name} is at least 0", pl.col(column.name) < 0)
        if column.type is Type.TIMESTAMP:
            yield RowRule(f"{column.name} has whole milliseconds", pl.col(column.name).dt.epoch("us") % 1000 != 0)


def _rolled_up() -> Iterator[Rule]:
    events, fingerprint = pl.col("events"), pl.col("fingerprint").cast(pl.Float64)
    yield RowRule("events is at least 1", events < 1)
    # A bound of magnitude: in doubles, whose rounding the factor allows for.
    bound = events.cast(pl.Float64) * (1 << _HASH_BITS) * (1 + 1e-9)
    yield RowRule(f"fingerprint is a sum of so many {_HASH_BITS}-bit hashes", (fingerprint < 0) | (fingerprint > bound))


def _payload(field: Field) -> Iterator[Rule]:
    value = pl.col(field.name)
    if field.kind is Kind.ID:
        yield RowRule(f"{field.name} has 1 to {MAX_ID_BYTES} bytes", ~value.str.len_bytes().is_between(1, MAX_ID_BYTES))
    if field.allowed:
        yield RowRule(f"{field.name} is one of: {', '.join(field.allowed)}", ~value.is_in(field.allowed))
    if field.minimum:
        yield RowRule(f"{field.name} is at least {field.minimum}", value < field.minimum)
    if field.maximum is not None:
        yield RowRule(f"{field.name} is at most {field.maximum}", value > field.maximum)
    if field.kind is Kind.TIME:
        yield RowRule(f"{field.name} is not before {EARLIEST_TIME}", value < _EARLIEST)
    if bounded_by_arrival(field):
        skew = timedelta(milliseconds=MAX_CLOCK_SKEW_MS)
        yield RowRule(
            f"{field.name} is at most {skew.seconds // 60} min after arrival", value > pl.col("arrival") + skew
        )


def _repeated(rows: pl.LazyFrame, key: tuple[str, ...]) -> pl.LazyFrame:
    return rows.group_by(key).len().filter(pl.col("len") > 1)
