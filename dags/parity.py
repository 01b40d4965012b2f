"""Recomputes random gold rows from raw records by the reference, every few minutes."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from dags.assets import table_asset, topic_asset

with DAG(
    "parity",
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=5),
    is_paused_upon_creation=False,
    tags=["quality"],
    params={
        "rows": Param(
            35, type="integer", minimum=1, maximum=1000, title="Rows", description="How many rows a run looks at."
        )
    },
    doc_md="""
### Parity as a live objective

Each run draws random rows of the gold tables, and recomputes each from the raw records that bronze keeps, by the
reference (`lakehouse.semantics`), which no engine uses; and again those that differed before, until they are right or
gone. The task returns how many rows of the last 24 hours differ: the objective is none.

One that differs fails the task, and its records are kept as a case below `parity/` in the installation's home.
`shop.alerts` gets a message, which the job `notifier` posts, and another once no row of the table differs any more;
until then the table's suite fails. `lakehouse explain` tells what changed the row last, the DAG `replay` sets it right.
""",
):

    @task(inlets=[table_asset("bronze.clicks")], outlets=[table_asset("ops.parity"), topic_asset("shop.alerts")])
    def check(params: dict) -> str:
        import random
        from datetime import UTC

        from airflow.sdk.exceptions import AirflowFailException

        from lakehouse.escaping import escaped
        from lakehouse.parity.results import objective
        from lakehouse.parity.sample import case_path, check_sample
        from lakehouse.settings import load_settings

        settings = load_settings()
        checked = check_sample(settings, params["rows"], random.randrange(2**31))  # noqa: S311
        found = str(objective(settings, datetime.now(UTC)))
        if wrong := [row for row in checked if not row.equal]:
            named = escaped("; ".join(f"{row.table} {row.row} in {', '.join(row.columns)}" for row in wrong))
            raise AirflowFailException(f"{found}. Now: {named}. Their records: {case_path(settings, wrong[0]).parent}")
        return found

    check()
