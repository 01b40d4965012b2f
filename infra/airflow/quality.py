"""Airflow's task that checks a table."""

from datetime import date, timedelta
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.exceptions import AirflowFailException

from infra.airflow.pages import DataDocsLink


def check_table(table: str, day: str | None) -> dict[str, Any]:
    """Run the suite of `table`, of its rows of `day` if given; which version it was that passed, and when it was read.

    A failed expectation fails the task without a retry, which would find the same.
    """
    from lakehouse.settings import load_settings
    from quality import QualityFailedError, run_quality

    try:
        result = run_quality(load_settings(), [table], date.fromisoformat(day) if day else None)
    except QualityFailedError as error:
        raise AirflowFailException(str(error)) from error
    (checked,) = result.tables
    return {
        "table": checked.table,
        "version": checked.version,
        "checked_at": result.checked_at.isoformat(),
        "rows": checked.rows_checked,
        "expectations": len(checked.outcomes),
    }


class QualityOperator(PythonOperator):
    """Checks one table; a failed expectation fails the task and so blocks what comes after it.

    Its output tells the version that it checked: what comes after reads that one, since a later one is unchecked.
    `day` (templated, as YYYY-MM-DD) restricts the check to the rows of that event date.
    """

    operator_extra_links = (DataDocsLink(),)

    def __init__(self, *, table: str, day: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            **{"retries": 1, "retry_delay": timedelta(seconds=10)} | kwargs,
            task_id=f"check_{table.replace('.', '_')}",
            python_callable=check_table,
            op_kwargs={"table": table, "day": day},
        )
        self.table = table
