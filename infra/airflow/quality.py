"""Airflow's task that checks a table."""

from datetime import date, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.exceptions import AirflowFailException

from infra.airflow.pages import DataDocsLink


def check_table(table: str, day: str | None, as_of: str | None = None, run_id: str | None = None) -> dict[str, Any]:
    """Run the suite of `table`, of its rows of `day` if given, as the table is or as it was at the time `as_of`; which
    version it was that passed, when it was read, and how fast. Results and rows set aside are those of `run_id`.

    What a retry would find again fails the task without one: a failed expectation, a time of which there is no version.
    """
    from lakehouse.delta import VersionMissingError
    from lakehouse.settings import load_settings
    from quality import QualityFailedError, run_quality

    only = date.fromisoformat(day) if day else None
    try:
        moment = datetime.fromisoformat(as_of) if as_of else None
    except ValueError as error:
        raise AirflowFailException(f"as of {as_of!r}: {error}") from error
    try:
        result = run_quality(load_settings(), [table], only, as_of=moment, run_id=run_id)
    except (QualityFailedError, VersionMissingError) as error:
        raise AirflowFailException(str(error)) from error
    (checked,) = result.tables
    return {
        "table": checked.table,
        "version": checked.version,
        "checked_at": result.checked_at.isoformat(),
        "rows": checked.rows_checked,
        "rows_per_second": round(checked.rows_per_second),
        "expectations": len(checked.outcomes),
    }


class QualityOperator(PythonOperator):
    """Checks one table; a failed expectation fails the task and so blocks what comes after it.

    Its output tells the version that it checked: what comes after reads that one, since a later one is unchecked.
    `day` (templated, as YYYY-MM-DD) restricts the check to the rows of that event date; with `as_of` (templated, a time
    with its zone, as ISO 8601) it is of the table as it was then.
    """

    operator_extra_links = (DataDocsLink(),)

    def __init__(self, *, table: str, day: str | None = None, as_of: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            **{"retries": 1, "retry_delay": timedelta(seconds=10)} | kwargs,
            task_id=f"check_{table.replace('.', '_')}",
            python_callable=check_table,
            op_kwargs={"table": table, "day": day, "as_of": as_of, "run_id": "{{ dag.dag_id }}/{{ run_id }}"},
        )
        self.table = table
