"""What people are told of a check: a table has failed, or is as expected again."""

from typing import Final

import polars as pl

from lakehouse.alerts import OPENED, QUALITY_FAILED, WITHDRAWN, TableAlert
from lakehouse.delta import TableMissingError, scan
from lakehouse.settings import Settings
from quality.result import QualityResult

RESULTS: Final = "ops.quality_results"


def turns(settings: Settings, result: QualityResult) -> list[TableAlert]:
    """The alerts of `result`, by the checks before it: one for each table that has failed, the same each time until it
    passes; one for each that passes and failed the last time. Checks of one day are an incident of their own; those of
    how a table was are none.

    Raises what `lakehouse.delta.open_table` raises.
    """
    if result.as_of is not None:
        return []
    names = [checked.table for checked in result.tables]
    try:
        kept = scan(settings, RESULTS).filter(pl.col("table").is_in(names), pl.col("as_of").is_null())
        before = kept.select("table", "day", "checked_at", "success").sort("checked_at").collect()
    except TableMissingError:
        before = None
    found = []
    for checked in result.tables:
        since = None
        if before is not None:
            same = before.filter(pl.col("table") == checked.table, pl.col("day").eq_missing(pl.lit(checked.day)))
            for at, success in same.select("checked_at", "success").iter_rows():
                since = None if success else since or at
        if not checked.success:
            since = since or result.checked_at
            found.append(TableAlert.turn(QUALITY_FAILED, checked.table, since, OPENED, checked.says, checked.day))
        elif since is not None:
            found.append(TableAlert.turn(QUALITY_FAILED, checked.table, since, WITHDRAWN, "", checked.day))
    return found


def last_failed(settings: Settings, table: str) -> bool:
    """Whether the last check of all of `table`, as it was then, has failed; False if there was none.

    Raises what `lakehouse.delta.open_table` raises.
    """
    try:
        kept = scan(settings, RESULTS).filter(
            pl.col("table") == table, pl.col("as_of").is_null(), pl.col("day").is_null()
        )
        last = kept.sort("checked_at").select("success").tail(1).collect()
    except TableMissingError:
        return False
    return not last.is_empty() and not last.item()
