"""What a step reads of a table, as data: the process itself reads it, or Spark's executors do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl
from deltalake.transaction import AddAction

from jobs.rust_engines.ranges import counting, inside

Ranges = list[pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows whose `column` falls into part `number` of `parts`, all rows of a value into one."""

    column: str
    number: int
    parts: int

    def among(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col(self.column).hash() % self.parts == self.number)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a table: `columns` of those in the files `paths`, which have `rows` rows.

    `ranges`: those inside of one of them, by the column `time`, alone; None: all. `only`: those with these values.
    `slice`: those of a slice.
    """

    table: str
    paths: list[str]
    rows: int
    columns: list[str]
    ranges: Ranges | None = None
    time: str | None = None
    only: Mapping[str, str] = field(default_factory=dict)
    slice: Slice | None = None

    def among(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of `rows`, which lie in these files."""
        if self.slice:
            return self.slice.among(rows)
        counted = counting(rows, self.only)
        return counted if self.ranges is None else counted.filter(inside(counted, self.ranges, self.time))


@dataclass(frozen=True, slots=True)
class Replaced:
    """Files that are written and that no log names yet, and those in whose place they come."""

    written: list[AddAction]
    removed: list[str]


class ExecutorsError(OSError):
    """They could not do a step; the message says why."""


class Executors(Protocol):
    """Run a step for a follower on other machines, where it reads many rows. They commit nothing.

    Both steps raise ExecutorsError.
    """

    @property
    def at_least(self) -> int:
        """The rows of files from which on a step is theirs."""

    @property
    def batch(self) -> int:
        """How many records of bronze a cycle takes at most."""

    def replaced(self, name: str, sources: Mapping[str, Part], held: Part, cause: str) -> Replaced:
        """Brings the rows `held` of the table `name` to what its SQL makes of its `sources`, by name. Rows in the same
        files that are not of `held`'s ranges stay; those that come say the `cause`."""

    def inserted(self, name: str, records: Part, near: "Near", versions: Part | None) -> list[AddAction] | None:
        """Files, which no log names yet, with those of the `records` that the table of events `name` has not; `near`:
        its rows around some minutes, `versions`: of products. None: some displace others, which is not done here."""


class Near(Protocol):
    def __call__(self, minutes: pl.Series) -> Part:
        """Rows of a table with a time in these minutes since the epoch."""
