"""Compacts and vacuums the tables."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from dags.assets import table_asset
from lakehouse.contracts.tables import TABLES


def maintain(name: str):
    @task(task_id=name.replace(".", "_"), inlets=[table_asset(name)], retries=1, retry_delay=timedelta(minutes=1))
    def maintain_one(params: dict) -> dict:
        from airflow.sdk.exceptions import AirflowSkipException

        from lakehouse.delta import TableMissingError
        from lakehouse.delta.maintenance import maintain
        from lakehouse.settings import load_settings

        if name not in params["tables"]:
            raise AirflowSkipException(f"{name} was left out by the parameter `tables`")
        try:
            return maintain(load_settings(), name)
        except TableMissingError as error:
            raise AirflowSkipException(str(error)) from error

    return maintain_one()


with DAG(
    "table_maintenance",
    schedule=CronTriggerTimetable("15 3 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["control"],
    params={
        "tables": Param(
            list(TABLES),
            type="array",
            items={"type": "string", "enum": list(TABLES)},
            title="Tables",
            description="Which tables to maintain; the schedule takes all.",
        )
    },
    doc_md="""
### Table maintenance

Daily, table by table: small files are joined (one commit that changes no data), files that no version of the last
7 days holds are removed, and so are the log's entries of before. Streams go on meanwhile: a commit of theirs that meets
a compaction's is computed anew, and a compaction that loses three times leaves the table to the next run
(`beaten` in the task's return value). By hand: `lakehouse table compact NAME`, `lakehouse table vacuum NAME`.
""",
):
    for table_name in TABLES:
        maintain(table_name)
