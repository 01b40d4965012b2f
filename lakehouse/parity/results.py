"""What checks of random rows have found: ``ops.parity``, and the objective that it tells of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from lakehouse.delta import TableMissingError, scan
from lakehouse.delta.write import append_ops
from lakehouse.parity.check import Checked
from lakehouse.settings import Settings

RESULTS: Final = "ops.parity"
WINDOW: Final = timedelta(hours=24)
_ROW: Final = ("table", "row")
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Objective:
    """Of `checked` rows in 24 hours so many `differed`, however often they were found to: zero is the objective.

    `differ`: those of them that also did when they were checked last.
    """

    checked: int
    differed: int
    differ: int

    @property
    def ok(self) -> bool:
        return not self.differ

    def __str__(self) -> str:
        return f"{self.differed:,} of {self.checked:,} differ in {WINDOW.total_seconds() / 3600:.0f} h"


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differed when it was checked last, `since` when."""

    table: str
    row: str
    since: datetime


def keep(settings: Settings, checked: Sequence[Checked], now: datetime, seed: int) -> None:
    rows = [
        {
            "run_id": f"{now:%Y%m%dT%H%M%S}-{seed}",
            "checked_at": now,
            "table": found.table,
            "row": found.row,
            "version": found.version,
            "equal": found.equal,
            "columns": ", ".join(found.columns) or None,
        }
        for found in checked
    ]
    if rows:
        append_ops(settings, RESULTS, rows)


def objective(settings: Settings, now: datetime) -> Objective:
    """What the checks of the last 24 hours have found. Raises ServiceDownError."""
    found = objectives(settings, now).values()
    return Objective(sum(o.checked for o in found), sum(o.differed for o in found), sum(o.differ for o in found))


def objectives(settings: Settings, now: datetime) -> dict[str, Objective]:
    """The same of each table that was checked. Raises ServiceDownError."""
    try:
        recent = scan(settings, RESULTS).filter(pl.col("checked_at") >= now - WINDOW)
    except TableMissingError:
        return {}
    rows = recent.group_by(_ROW).agg(
        pl.len().alias("checked"),
        (~pl.col("equal")).any().alias("differed"),
        (~pl.col("equal").sort_by("checked_at").last()).alias("differ"),
    )
    counted = rows.group_by("table").agg(pl.col("checked", "differed", "differ").sum()).collect()
    return {name: Objective(*counts) for name, *counts in counted.iter_rows()}


def differences(settings: Settings, now: datetime, names: Sequence[str]) -> list[Difference]:
    """The rows of these tables whose last check of the last 24 hours found them different; the one first that has
    waited longest to be checked again. Raises ServiceDownError."""
    try:
        kept = scan(settings, RESULTS).filter(pl.col("table").is_in(names))
    except TableMissingError:
        return []
    recent = kept.filter(pl.col("checked_at") >= now - WINDOW).group_by(_ROW)
    last = recent.agg(pl.col("equal").sort_by("checked_at").last(), pl.col("checked_at").max().alias("last"))
    wrong = last.filter(~pl.col("equal")).select(*_ROW, "last").collect()
    if wrong.is_empty():
        return []
    # Of all checks, not only the day's: the first that found the row wrong names its incident.
    last_equal = pl.col("checked_at").filter("equal").max().fill_null(_NEVER)
    since = pl.col("checked_at").filter(pl.col("checked_at") > last_equal).min().alias("since")
    began = kept.join(wrong.lazy(), on=_ROW).group_by(*_ROW, "last").agg(since)
    return [Difference(*found) for found in began.sort("last", *_ROW).select(*_ROW, "since").collect().iter_rows()]
