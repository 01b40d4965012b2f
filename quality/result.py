"""What checking tables has found."""

from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from lakehouse.shell import quoted
from quality.rules import Severity
from quality.suites import Outcome


@dataclass(frozen=True, slots=True)
class TableQuality:
    """One table's check. `samples` holds some of what breaks a rule, by the rule; `failing` the rows, for the
    quarantine."""

    table: str
    version: int
    day: date | None
    rows_checked: int
    seconds: float
    outcomes: list[Outcome]
    samples: dict[str, list[dict[str, object]]]
    failing: dict[str, pl.DataFrame] = field(repr=False)

    @property
    def failures(self) -> list[Outcome]:
        """The critical expectations that failed."""
        return [o for o in self.outcomes if not o.success and o.severity is Severity.CRITICAL]

    @property
    def warnings(self) -> list[Outcome]:
        return [o for o in self.outcomes if not o.success and o.severity is Severity.WARNING]

    @property
    def success(self) -> bool:
        return not self.failures

    @property
    def rows_per_second(self) -> float:
        return self.rows_checked / self.seconds if self.seconds else 0.0

    @property
    def says(self) -> str:
        """Which critical expectations failed."""
        return f"version {self.version}: {'; '.join(map(_broken, self.failures))}"


@dataclass(frozen=True, slots=True)
class QualityResult:
    """One run over several tables; `run_id` finds it in `ops.quality_results` and `quarantine.rows`."""

    run_id: str
    checked_at: datetime
    as_of: datetime | None
    tables: list[TableQuality]

    @property
    def success(self) -> bool:
        return all(t.success for t in self.tables)


class QualityFailedError(RuntimeError):
    """A table is not as expected; what is built from it must wait. `result` tells everything."""

    def __init__(self, result: QualityResult) -> None:
        said = [
            f"{checked.table} version {checked.version}: {_broken(failure)}"
            + (f", for example {as_line(checked.samples[failure.says][0])}" if failure.says in checked.samples else "")
            for checked in result.tables
            for failure in checked.failures
        ]
        super().__init__("; ".join(said))
        self.result = result


def as_text(row: dict[str, object]) -> dict[str, str]:
    return {column: "null" if value is None else str(value) for column, value in row.items()}


def as_line(row: dict[str, object]) -> str:
    """``user_id=ana, events=3``: each value as it can be pasted."""
    return ", ".join(f"{column}={quoted(text)}" for column, text in as_text(row).items())


def _broken(outcome: Outcome) -> str:
    return f"{outcome.says}, broken by {outcome.observed:,} rows"
