"""What a day of a mart reads, and how long it may take: from logs of Delta tables alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Final

from jobs.rust_engines.sources import Sources
from lakehouse.contracts.tables import table
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.days import rows_by_day
from lakehouse.delta.describe import extent, newest_first
from lakehouse.delta.notes import Publication
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


def estimates(settings: Settings, mart: str, sources: Sources, days: Sequence[date]) -> dict[date, Estimate]:
    """What building `mart` (its full name) for each of `days` from `sources` will read and take.

    Raises what `lakehouse.delta.open_table` raises; a mart that nobody has written yet is no error.
    """
    rows = dict.fromkeys(days, 0)
    for name, opened in sources.tables.items():
        by_day = (
            rows_by_day(settings, name, opened) if table(name).day else dict.fromkeys(days, extent(opened).rows or 0)
        )
        for day in days:
            rows[day] += by_day.get(day, 0)
    seconds = _seconds_of_a_row(settings, mart)
    return {day: Estimate(n, None if seconds is None else seconds * n) for day, n in rows.items()}


def _seconds_of_a_row(settings: Settings, mart: str) -> float | None:
    """By the newest days that were built; None without one."""
    try:
        commits = newest_first(open_table(settings, mart))
    except TableMissingError:
        return None
    notes = (commit.note for commit in commits)
    built = list(islice((note for note in notes if isinstance(note, Publication) and note.read_rows), EARLIER))
    return sum(note.seconds for note in built) / sum(note.read_rows for note in built) if built else None
