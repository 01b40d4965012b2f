"""What a day of a mart reads, and how long it may take: from logs of Delta tables alone."""

from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Final

from jobs.rust_engines.sources import Sources
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.describe import extent, newest_first, rows_by_day
from lakehouse.settings import Settings

EARLIER: Final = 20
"""So many of the newest days that were built tell the rate."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """`rows`: of the day in the tables that are read, of those without days all. `seconds`: with both engines; None
    before the mart's first day."""

    rows: int
    seconds: float | None

    def __str__(self) -> str:
        took = "no earlier day to tell the time from" if self.seconds is None else f"about {self.seconds:.1f} s"
        return f"{self.rows:,} rows to read, {took}"


def estimate(settings: Settings, mart: str, sources: Sources, day: date) -> Estimate:
    """What building `mart` (its full name) for `day` from `sources` will read and take.

    Raises what `lakehouse.delta.open_table` raises; a mart that nobody has written yet is no error.
    """
    rows = sum(_rows(sources, name, day) for name in sources.tables)
    try:
        commits = newest_first(open_table(settings, mart))
    except TableMissingError:
        return Estimate(rows, None)
    built = list(islice((c.said for c in commits if c.said.get("read_rows")), EARLIER))
    if not built:
        return Estimate(rows, None)
    seconds = sum(said["seconds"] for said in built) / sum(said["read_rows"] for said in built)
    return Estimate(rows, seconds * rows)


def _rows(sources: Sources, name: str, day: date) -> int:
    opened = sources.tables[name]
    if table(name).partition_by:
        return rows_by_day(opened)[day]
    return extent(opened).rows or 0
