"""Airflow's task that checks a table."""

from typing import Any

from airflow.providers.standard.operators.python import PythonOperator

from infra.airflow.pages import DataDocsLink


def check_table(table: str) -> None:
    """Run the expectations of `table`. Raises `quality.QualityFailedError`, which fails the task, if one fails."""
    from lakehouse.settings import load_settings
    from quality import run_quality

    run_quality(load_settings(), [table])


class QualityOperator(PythonOperator):
    """Checks one table; a failed expectation fails the task and so blocks what comes after it."""

    operator_extra_links = (DataDocsLink(),)

    def __init__(self, *, table: str, **kwargs: Any) -> None:
        super().__init__(
            task_id=f"check_{table.replace('.', '_')}",
            python_callable=check_table,
            op_kwargs={"table": table},
            **kwargs,
        )
