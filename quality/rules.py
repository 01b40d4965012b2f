"""An expectation of a table, as something to count: the rows that break it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class Severity(StrEnum):
    """What a broken rule does: `CRITICAL` fails the suite and blocks the marts, `WARNING` is only reported."""

    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class RowRule:
    """`breaks` is true for each row that breaks the rule; null counts as kept (nulls have a rule of their own).

    `says` names the rule and tells what it demands; no two rules of a table say the same.
    """

    says: str
    breaks: pl.Expr
    severity: Severity = Severity.CRITICAL

    def broken(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.filter(self.breaks.fill_null(False))

    def failing(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Those of `rows` that break the rule."""
        return self.broken(rows)


@dataclass(frozen=True, slots=True)
class FrameRule:
    """A rule that no row shows alone: `find` turns a table's rows into one row per violation."""

    says: str
    find: Callable[[pl.LazyFrame], pl.LazyFrame]
    severity: Severity = Severity.CRITICAL

    def broken(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return self.find(rows)

    def failing(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Those of `rows` that a violation names: its columns that are the table's have the rows' values."""
        found, columns = self.find(rows), rows.collect_schema().names()
        named = [name for name in found.collect_schema().names() if name in columns]
        return rows.join(found.select(named).unique(), on=named, how="semi", nulls_equal=True)


@dataclass(frozen=True, slots=True)
class Observed:
    """A rule about what is around a table, such as how it is fed, and what breaks it: none of the table's rows."""

    says: str
    severity: Severity
    violations: list[dict[str, object]]


Rule = RowRule | FrameRule
