"""Checking tables: count, validate, keep the result, show it, and say no where a table is not as expected."""

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from lakehouse.contracts.tables import TABLES, table
from lakehouse.delta.write import append_ops
from lakehouse.settings import Settings
from quality.counting import count
from quality.data_docs import write_data_docs
from quality.rules import Severity
from quality.suites import Outcome, validate


@dataclass(frozen=True, slots=True)
class TableQuality:
    """One table's check. `samples` holds some of the rows that break a rule, by the rule."""

    table: str
    version: int
    day: date | None
    rows_checked: int
    seconds: float
    outcomes: list[Outcome]
    samples: dict[str, list[dict[str, object]]]

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


@dataclass(frozen=True, slots=True)
class QualityResult:
    """One run over several tables; `run_id` finds it in `ops.quality_results`."""

    run_id: str
    checked_at: datetime
    tables: list[TableQuality]

    @property
    def success(self) -> bool:
        return all(t.success for t in self.tables)


class QualityFailedError(RuntimeError):
    """A table is not as expected; what is built from it must wait. `result` tells everything."""

    def __init__(self, result: QualityResult) -> None:
        said = [
            f"{checked.table} version {checked.version}: {failure.says}, broken by {failure.observed:,} rows"
            + (f", for example {_as_text(checked.samples[failure.says][0])}" if failure.says in checked.samples else "")
            for checked in result.tables
            for failure in checked.failures
        ]
        super().__init__("; ".join(said))
        self.result = result


def checked_tables() -> list[str]:
    """The tables that have a suite: silver and gold."""
    return [t.name for t in TABLES.values() if t.layer in ("silver", "gold") and not t.variant_of]


def run_quality(
    settings: Settings,
    tables: Iterable[str] | None = None,
    day: date | None = None,
    *,
    as_of: datetime | None = None,
    raise_on_failure: bool = True,
    run_id: str | None = None,
) -> QualityResult:
    """Checks `tables` (default: all silver and gold ones), of those with an event date only `day`, if given; as they
    are, or as they were at the time `as_of` (with a zone).

    Appends to `ops.quality_results` and renews the Data Docs in ``<home>/reports/data_docs`` in any case.

    Raises:
        QualityFailedError: a critical expectation failed, unless `raise_on_failure` is false.
        UnknownTableError, TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
    """
    contracts = [table(name) for name in (checked_tables() if tables is None else tables)]
    result = QualityResult(run_id or str(uuid.uuid4()), datetime.now(UTC), [])
    for contract in contracts:
        counts = count(settings, contract, day, as_of)
        checked = TableQuality(
            contract.name,
            counts.version,
            day if contract.partition_by else None,
            counts.rows,
            counts.seconds,
            validate(contract, counts),
            counts.samples,
        )
        result.tables.append(checked)
        write_data_docs(settings.home / "reports" / "data_docs", _for_docs(result, checked))
    append_ops(settings, "ops.quality_results", [_for_ops(result, checked) for checked in result.tables])
    if raise_on_failure and not result.success:
        raise QualityFailedError(result)
    return result


def _for_ops(result: QualityResult, checked: TableQuality) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "checked_at": result.checked_at,
        "table": checked.table,
        "version": checked.version,
        "rows_checked": checked.rows_checked,
        "expectations": len(checked.outcomes),
        "failed": len(checked.failures),
        "success": checked.success,
    }


def _for_docs(result: QualityResult, checked: TableQuality) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "checked_at": f"{result.checked_at:%Y-%m-%d %H:%M:%S}",
        "table": checked.table,
        "version": checked.version,
        "day": checked.day.isoformat() if checked.day else None,
        "rows_checked": checked.rows_checked,
        "seconds": checked.seconds,
        "rows_per_second": checked.rows_per_second,
        "success": checked.success,
        "failed": len(checked.failures),
        "warnings": len(checked.warnings),
        "expectations": [
            asdict(outcome) | {"samples": [_as_text(row) for row in checked.samples.get(outcome.says, ())]}
            for outcome in checked.outcomes
        ],
    }


def _as_text(row: dict[str, object]) -> dict[str, str]:
    return {column: "null" if value is None else str(value) for column, value in row.items()}
