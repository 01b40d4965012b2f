"""How rows lie in the files of a table, in the order of one column, and which files hold rows of a time or a key.

Hours with many rows have files of their own, so that a change rewrites those of its time alone; years with few rows an
hour make few files all the same. What files hold say their statistics in the log; a file without is taken for one that
may hold anything.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Final

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

Span = tuple[date, date]
"""The first and the last day of something."""

MANY: Final = 1_000
"""Rows of an hour that have files of their own."""
LARGEST: Final = 250_000
"""Rows of one file at most."""
SCATTERED: Final = 8
"""So many small files of one hour, or of several hours, are worth being put together."""
_HOUR_MS: Final = 3_600_000


def cut(rows: pl.DataFrame, column: str) -> Iterator[pl.DataFrame]:
    """The contents of the files that hold `rows`, in the order of `column`: a time, a date or text."""
    ordered = rows.sort(column)
    if ordered.schema[column] == pl.String:
        yield from ordered.iter_slices(LARGEST)
        return
    hour = pl.col(column).cast(pl.Datetime("us")).dt.truncate("1h")
    hours = ordered.with_columns(_hour=hour).with_columns(_rows=pl.len().over("_hour"))
    crowded = hours.filter(pl.col("_rows") >= MANY).drop("_rows")
    for of_hour in crowded.partition_by("_hour", maintain_order=True, include_key=False):
        yield from of_hour.iter_slices(LARGEST)
    yield from hours.filter(pl.col("_rows") < MANY).drop("_rows", "_hour").iter_slices(LARGEST)


class Files:
    """The data files of a table as it is `opened`, with what their statistics say of their rows."""

    def __init__(self, opened: DeltaTable) -> None:
        self._actions = pa.table(opened.get_add_actions(flatten=True))
        self.paths: list[str] = self._actions["path"].to_pylist()
        # A table without files has no statistics.
        counts = self._actions["num_records"].to_pylist() if self.paths else []
        self.rows: dict[str, int] = dict(zip(self.paths, counts, strict=True))
        """By path, how many."""

    @property
    def sizes(self) -> dict[str, int]:
        """By path, in bytes."""
        return dict(zip(self.paths, self._actions["size_bytes"].to_pylist(), strict=True)) if self.paths else {}

    def between(self, low: str, high: str, start: pl.Series, end: pl.Series) -> list[str]:
        """Those with rows whose time in `low` is not after, and in `high` not before one of these spans, in
        milliseconds: with one column for both, those with rows inside."""
        return self._meeting(self._bound("min", low), self._bound("max", high), start, end)

    def holding(self, column: str, values: pl.Series) -> list[str]:
        """Those that may have a row with one of these values."""
        return self._meeting(self._bound("min", column), self._bound("max", column), values, values)

    def days(self, column: str | None) -> dict[str, Span | None]:
        """By path, the first and the last day of its rows, by this column; None where nobody can tell."""
        partition = f"partition.{column}"
        if partition in self._actions.column_names:
            low = high = self._actions[partition].cast(pa.date32()).to_pylist()
        else:
            low, high = (
                self._actions[name].to_pylist() if name in self._actions.column_names else [None] * len(self.paths)
                for name in (f"min.{column}", f"max.{column}")
            )
        return {
            path: None if first is None or last is None else (first, last)
            for path, first, last in zip(self.paths, low, high, strict=True)
        }

    def within(self, column: str, spans: Iterable[Span]) -> list[str]:
        """Those that may have rows of the days of these spans, by this column."""
        wanted = list(spans)
        return [
            path
            for path, held in self.days(column).items()
            if held is None or any(held[0] <= last and held[1] >= first for first, last in wanted)
        ]

    def scattered(self, column: str, written_before: datetime) -> list[list[str]]:
        """Groups of small files whose rows belong into fewer, cut by `column`: of one hour each, and of those that hold
        several. What was written since is left alone: it is about to change."""
        if not self.paths:
            return []
        low, high = self._bound("min", column), self._bound("max", column)
        hour = low // _HOUR_MS if low.dtype == pl.Int64 else pl.Series([None] * len(low), dtype=pl.Int64)
        last = high // _HOUR_MS if low.dtype == pl.Int64 else hour
        written = pl.Series(self._actions["modification_time"]).cast(pl.Datetime("ms")).dt.epoch("ms")
        files = pl.DataFrame(
            {"path": self.paths, "hour": hour, "last": last, "written": written, "rows": self._actions["num_records"]}
        )
        small = files.filter(pl.col("rows") < LARGEST // 2, pl.col("written") < int(written_before.timestamp() * 1000))
        within = pl.when(pl.col("hour") == pl.col("last")).then(pl.col("hour"))
        groups = small.group_by(within.alias("within")).agg("path").filter(pl.col("path").list.len() >= SCATTERED)
        return groups["path"].to_list()

    def _meeting(self, low: pl.Series, high: pl.Series, start: pl.Series, end: pl.Series) -> list[str]:
        """Whose bounds meet a span. Of spans in the order of their starts, the last that does not begin after a file
        ends reaches, with all before it, as far as their ends' maximum."""
        spans = pl.DataFrame({"start": start, "end": end}).drop_nulls().sort("start")
        if spans.is_empty():
            return []
        files = pl.DataFrame({"path": self.paths, "low": low, "high": high}, schema_overrides={"path": pl.String})
        known = files.drop_nulls()
        before = spans["start"].search_sorted(known["high"], side="right").cast(pl.Int64)
        furthest = spans["end"].cum_max().gather((before - 1).clip(0))
        met = known.filter((before > 0) & (furthest >= known["low"]))
        return [*met["path"], *files.filter(pl.any_horizontal(pl.col("low", "high").is_null()))["path"]]

    def _bound(self, which: str, column: str) -> pl.Series:
        """Times and dates in milliseconds."""
        name = f"{which}.{column}"
        if name not in self._actions.column_names:
            return pl.Series([None] * len(self.paths), dtype=pl.Int64)
        values = pl.Series(self._actions[name])
        if values.dtype == pl.Date:
            values = values.cast(pl.Datetime("ms"))
        return values.dt.epoch("ms") if isinstance(values.dtype, pl.Datetime) else values
