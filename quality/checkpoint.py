"""Checking tables: count, validate, keep the result, set aside what fails, show it, tell people, and say no where a
table is not as expected."""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from lakehouse.contracts.tables import checked_tables, table
from lakehouse.delta.write import append_ops, time_of_next
from lakehouse.kafka.alerts import send_alerts
from lakehouse.kafka.sender import DeliveryError
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from quality.alert import RESULTS, turns
from quality.around import Around
from quality.counting import count
from quality.data_docs import write_data_docs
from quality.quarantine import set_aside
from quality.result import QualityFailedError, QualityResult, TableQuality, as_text
from quality.suites import validate

log = logging.getLogger(__name__)


def run_quality(
    settings: Settings,
    tables: Iterable[str] | None = None,
    day: date | None = None,
    *,
    as_of: datetime | None = None,
    raise_on_failure: bool = True,
    run_id: str | None = None,
) -> QualityResult:
    """Checks `tables` (default: all that have a suite), of those with an event date only `day`, if given; as they
    are, or as they were at the time `as_of` (with a zone).

    Appends to `ops.quality_results`, the rows that fail to `quarantine.rows`, and renews the Data Docs in
    ``<home>/reports/data_docs`` in any case. ``shop.alerts`` gets a message when a table fails, and one when it is as
    expected again; none of how a table was.

    Raises:
        QualityFailedError: a critical expectation failed, unless `raise_on_failure` is false.
        UnknownTableError, TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
        ServiceDownError, DeliveryError: Kafka did not take the alert that a table is as expected again. Of one that has
            failed this is logged. The next check sends it.
    """
    contracts = [table(name) for name in (checked_tables() if tables is None else tables)]
    result = QualityResult(run_id or str(uuid.uuid4()), time_of_next(settings, RESULTS, "checked_at"), as_of, [])
    around = Around(settings, as_of)
    for contract in contracts:
        counts = count(settings, contract, day, as_of)
        only = day if contract.day else None
        observed = around.observe(contract, counts.version, only)
        checked = TableQuality(
            contract.name,
            counts.version,
            only,
            counts.rows,
            counts.seconds,
            validate(contract, counts, observed),
            counts.samples | {each.says: each.violations for each in observed if each.violations},
            counts.failing,
        )
        result.tables.append(checked)
        set_aside(settings, result, checked)
        write_data_docs(settings.home / "reports" / "data_docs", _for_docs(result, checked))
    # What failed is kept before people are told, and what passed afterwards: where telling fails, the next check finds
    # the same turn again and tells.
    told = turns(settings, result)
    _keep(settings, result, success=False)
    try:
        if told:
            send_alerts(settings, told)
    except (ServiceDownError, DeliveryError) as error:
        if result.success:
            raise
        log.error("the alert was not sent, the next check does it: %s", error)
    else:
        _keep(settings, result, success=True)
    if raise_on_failure and not result.success:
        raise QualityFailedError(result)
    return result


def _keep(settings: Settings, result: QualityResult, *, success: bool) -> None:
    rows = [_for_ops(result, checked) for checked in result.tables if checked.success is success]
    if rows:
        append_ops(settings, RESULTS, rows)


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
        "day": checked.day,
        "as_of": result.as_of,
        "seconds": checked.seconds,
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
            asdict(outcome) | {"samples": [as_text(row) for row in checked.samples.get(outcome.says, ())]}
            for outcome in checked.outcomes
        ],
    }
