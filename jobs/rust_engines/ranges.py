"""Scopes over frames: which rows the rows of another table affect, and which of its rows those need in turn.

A frame of ranges has columns of a key and `start` and `end`, milliseconds, both included; the ranges of one key don't
meet. What a row's range is says `lakehouse.semantics.scopes`, whose arithmetic takes columns as it takes numbers.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from lakehouse.semantics.scopes import Scope

START: Final = "start"
END: Final = "end"
_ROW: Final = "_row"
_AT: Final = "_at"
_ISLAND: Final = "_island"


def affected(scope: Scope, rows: pl.DataFrame, time: str | None) -> pl.DataFrame:
    """The ranges that these rows affect by `scope`; `time`: the column that counts. No row has a null in its key.

    Sessions are not widened: that takes what is known of them, see `widened`.
    """
    times: Any = _milliseconds(rows, time)
    start, end = scope.rows(times)
    bounded = rows.with_columns(_long(start).alias(START), _long(end).alias(END))
    return merged(bounded.select(*scope.key, START, END).drop_nulls())


def needed(scope: Scope, ranges: pl.DataFrame) -> pl.DataFrame:
    """The ranges of the rows that `ranges` need by `scope`, by as much of its key as those have."""
    bounds: Any = (pl.col(START), pl.col(END))
    start, end = scope.events(*bounds)
    key = [column for column in scope.key if column in ranges.columns]
    return merged(ranges.with_columns(_long(start).alias(START), _long(end).alias(END)).select(*key, START, END))


def counting(rows: pl.DataFrame, only: Mapping[str, str]) -> pl.DataFrame:
    """The rows of a source that count: with these values."""
    for column, value in only.items():
        rows = rows.filter(pl.col(column) == value)
    return rows


def merged(ranges: pl.DataFrame, apart_ms: int = 1) -> pl.DataFrame:
    """Of each key, those less than `apart_ms` apart as one."""
    key = _key(ranges)
    group = [pl.col(column) for column in key] or [pl.lit(0)]
    reach = pl.col(END).cum_max().shift(1).over(group)
    begins = (reach.is_null() | (pl.col(START) - reach >= apart_ms)).cast(pl.Int64)
    islands = ranges.sort(START).with_columns(begins.alias(_ISLAND)).with_columns(pl.col(_ISLAND).cum_sum().over(group))
    return islands.group_by(*key, _ISLAND).agg(pl.min(START), pl.max(END)).drop(_ISLAND)


def widened(ranges: pl.DataFrame, known: pl.DataFrame, gap_ms: int) -> pl.DataFrame:
    """`ranges` with those of `known` of the same key that lie less than `gap_ms` away, be it by way of others."""
    islands = merged(pl.concat([ranges, known.select(ranges.columns).cast(ranges.schema)]), gap_ms)
    points = ranges.select(*_key(ranges), pl.col(START).alias(_AT)).sort(_AT)
    met = islands.sort(START).join_asof(
        points, left_on=START, right_on=_AT, by=_key(ranges) or None, strategy="forward", check_sortedness=False
    )
    return met.filter(pl.col(_AT) <= pl.col(END)).select(ranges.columns)


def inside(rows: pl.DataFrame, ranges: Iterable[pl.DataFrame], time: str | None) -> pl.Series:
    """For each row whether one of the frames has a range that holds it."""
    held = pl.repeat(False, rows.height, eager=True)
    for each in ranges:
        held |= _inside(rows, each, time)
    return held


def _inside(rows: pl.DataFrame, ranges: pl.DataFrame, time: str | None) -> pl.Series:
    key = _key(ranges)
    times = rows.lazy().select(*key, _milliseconds(rows, time).alias(_AT)).with_row_index(_ROW)
    if key:  # few of the keys in a day's files have a range, and the others need not be sorted
        times = times.join(ranges.lazy().select(key).unique(), key, "semi")
    met = (
        times.sort(_AT)
        .collect()
        .join_asof(
            ranges.sort(START), left_on=_AT, right_on=START, by=key or None, strategy="backward", check_sortedness=False
        )
    )
    held = met.filter(pl.col(_AT) <= pl.col(END))[_ROW]
    return pl.repeat(False, rows.height, eager=True).scatter(held, True)


def _milliseconds(rows: pl.DataFrame, column: str | None) -> pl.Expr:
    """A time, or the midnight of a date, since the epoch; 0 without a column."""
    if column is None:
        return pl.lit(0, pl.Int64)
    time = pl.col(column)
    return (time.cast(pl.Datetime("ms")) if rows.schema[column] == pl.Date else time).dt.epoch("ms")


def _long(value: Any) -> pl.Expr:
    return (value if isinstance(value, pl.Expr) else pl.lit(value)).cast(pl.Int64)


def _key(ranges: pl.DataFrame) -> list[str]:
    return [column for column in ranges.columns if column not in (START, END)]
