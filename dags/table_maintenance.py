"""Compacts and vacuums the tables."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from lakehouse.contracts.tables import TABLES

with DAG(
    "table_maintenance",
    schedule=CronTriggerTimetable("15 3 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
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

Daily, one mapped task per table that was written: small files are joined (one commit that changes no data), files
that no version of the last 7 days holds are removed, with those that killed writers left before that, and so are the
log's entries of before. Streams go on meanwhile: a commit of theirs that meets a compaction's is computed anew, and a
compaction that loses three times leaves the table to the next run (`beaten` in the task's return value).
By hand: `lakehouse table compact NAME` and `table vacuum NAME`.
""",
):

    @task
    def written_tables(params: dict) -> list[str]:
        from lakehouse.delta import table_exists
        from lakehouse.settings import load_settings

        settings = load_settings()
        return [name for name in params["tables"] if table_exists(settings, name)]

    @task(retries=1, retry_delay=timedelta(minutes=1), max_active_tis_per_dag=1, map_index_template="{{ name }}")
    def maintain(name: str) -> dict:
        from airflow.sdk import get_current_context

        from lakehouse.settings import load_settings
        from lakehouse.upkeep import maintain

        get_current_context()["name"] = name
        return maintain(load_settings(), name)

    maintain.expand(name=written_tables())
