"""Looks every few minutes whether a topic's records have suddenly become dead letters."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, task

from dags.assets import table_asset, topic_asset
from lakehouse.contracts.tables import DEAD_LETTERS

with DAG(
    "dead_letters",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=5),
    is_paused_upon_creation=False,
    tags=["quality"],
    doc_md="""
### Dead letters

Of each topic, the share of dead letters among the last 200 records of each partition is held against that of the
20,000 before them. Where it has jumped, something is wrong that no job fails of: a broker's clock that is behind, a
producer that sends another form. Then the suite of `bronze.dead_letters` runs: it fails this task, and `shop.alerts`
gets a message, which the job `notifier` posts; another once the share is as before. While nothing has jumped no suite
runs and nothing is written.

By hand: `lakehouse dead-letters list`. Once the cause is mended, `lakehouse dead-letters resend` judges them again.
""",
):

    @task(
        inlets=[table_asset(DEAD_LETTERS)],
        outlets=[table_asset("ops.quality_results"), topic_asset("shop.alerts")],
    )
    def look() -> str:
        from airflow.sdk.exceptions import AirflowFailException

        from lakehouse.dead_letters import jumps
        from lakehouse.settings import load_settings
        from quality import QualityFailedError, last_failed, run_quality

        settings = load_settings()
        jumped = jumps(settings)
        if not jumped and not last_failed(settings, DEAD_LETTERS):
            return "no topic's share of dead letters has jumped"
        try:
            run_quality(settings, [DEAD_LETTERS])
        except QualityFailedError as error:
            raise AirflowFailException("; ".join(map(str, jumped)) or str(error)) from error
        return "the share of dead letters is as before again"

    look()
