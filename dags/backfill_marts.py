"""Builds the daily marts, one data interval per day."""

from dataclasses import asdict
from datetime import date, datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, task

from dags.assets import table_asset, topic_asset
from infra.airflow.quality import QualityOperator
from lakehouse.contracts.owners import BACKFILL
from lakehouse.contracts.tables import TABLES

MARTS = {name.removeprefix("marts."): t.reads for name, t in TABLES.items() if t.owner == BACKFILL}
"""By mart, the tables that must be as expected before it is built: those that it reads."""

# A run without a logical date has no interval either: the day before it then, as by schedule.
DAY = """{{
    params.day
    or ((data_interval_start if data_interval_start is defined else dag_run.run_after - macros.timedelta(days=1)) | ds)
}}"""
AS_OF = "{{ params.as_of or '' }}"

with DAG(
    "backfill_marts",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2019, 1, 1),
    catchup=False,
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=2),
    # Else a new installation's first run would be yesterday's, which has no tables yet.
    is_paused_upon_creation=True,
    tags=["marts"],
    params={
        "engine": Param(
            "polars",
            type="string",
            enum=["polars", "datafusion"],
            title="Engine",
            description="Whose result is published. Both compute each mart, and they must agree.",
        ),
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="For a run by hand: the UTC day to build. Empty: the day of the run's data interval; of a run "
            "without one, as REST may ask for it, the day before it.",
        ),
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date-time",
            # The format alone is not validated.
            pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$",
            title="As of",
            description="Build the day from the tables as they were at this time (with its zone, up to 7 days back). "
            "Empty: as they are now.",
        ),
    },
    doc_md="""
### Marts by day

A run covers one UTC day, its data interval. It checks that day of the tables that it reads (a failed suite alerts, and
blocks the marts built from it), then computes `marts.product_daily`, `marts.region_daily` and `marts.session_funnel`
from the very versions that were checked, with Polars and with DataFusion, compares the two row for row, and publishes
that day's rows in one commit. Repeating a day replaces it by the same rows.

What is committed while a run is under way waits for the next one. To take it up, clear the checks with what follows
them: a mart that is cleared alone is built from the versions that were checked. Where somebody has meanwhile published
the day from newer ones, it stays like that: the task is skipped, and its log names that publication.

With *As of* the checks and the marts read the tables as they were at that time. History is kept for 7 days; a time
before it, before a table's first version or in the future fails the checks, and nothing is published. The day stays as
it was built until somebody builds it again without it; `lakehouse mart compare` shows the difference beforehand.

For past days use *Trigger -> Backfill* in the UI, or `POST /api/v2/backfills`; for a single day trigger it with the
parameter `day`. Unpause the DAG first: a paused one leaves its runs queued.
""",
):
    gates = {
        name: QualityOperator(
            table=name,
            day=DAY,
            as_of=AS_OF,
            inlets=[table_asset(name)],
            outlets=[table_asset("ops.quality_results"), table_asset("quarantine.rows"), topic_asset("shop.alerts")],
        )
        for name in dict.fromkeys(table for tables in MARTS.values() for table in tables)
    }

    def publish(mart: str, tables: tuple[str, ...]):
        @task(
            task_id=mart,
            inlets=[table_asset(name) for name in tables],
            outlets=[table_asset(f"marts.{mart}")],
            retries=1,
            retry_delay=timedelta(seconds=10),
        )
        def publish_mart(day: str, checks: list[dict], params: dict) -> dict:
            from airflow.sdk.exceptions import AirflowSkipException

            from jobs.rust_engines import Pinned, SupersededError, publish_day
            from lakehouse.settings import load_settings

            pinned = Pinned(
                {check["table"]: check["version"] for check in checks},
                datetime.fromisoformat(params["as_of"]) if params["as_of"] else None,
            )
            try:
                published = publish_day(load_settings(), mart, date.fromisoformat(day), params["engine"], pinned)
            except SupersededError as stays:
                raise AirflowSkipException(str(stays)) from None
            return asdict(published) | {"day": day}

        return publish_mart(DAY, [gates[name].output for name in tables])

    for mart, tables in MARTS.items():
        publish(mart, tables)
