"""Setting rows aside that failed an expectation."""

import json
from typing import Final

from lakehouse.delta import Once
from lakehouse.delta.write import append_ops
from lakehouse.plain import plain
from lakehouse.settings import Settings
from quality.result import QualityResult, TableQuality

QUARANTINE: Final = "quarantine.rows"


def set_aside(settings: Settings, result: QualityResult, checked: TableQuality) -> None:
    """Appends the rows that break a rule, up to `quality.counting.SET_ASIDE` of each, to `quarantine.rows`.

    Copies: the table keeps them until its owner, a replay or a correction sets them right. Called again for the same
    run, table, version and day it adds nothing. Raises what `lakehouse.delta.append` raises.
    """
    severity = {outcome.says: outcome.severity for outcome in checked.outcomes}
    rows = [
        {
            "run_id": result.run_id,
            "quarantined_at": result.checked_at,
            "table": checked.table,
            "version": checked.version,
            "expectation": says,
            "severity": severity[says].value,
            "row": json.dumps(plain(row), ensure_ascii=False),
        }
        for says, failing in checked.failing.items()
        for row in failing.iter_rows(named=True)
    ]
    if rows:
        once = Once(f"quality/{result.run_id}/{checked.table}/{checked.day or 'all'}", checked.version)
        append_ops(settings, QUARANTINE, rows, once)
