"""Keeps the streaming jobs as they are wanted."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.assets import read_asset, topic_asset
from lakehouse.contracts.jobs import JOBS, JobSpec
from lakehouse.settings import load_settings

LAG_SECONDS = 15
"""What a service that is frozen may cost a run."""


def reconcile_job(job: JobSpec):
    @task(
        task_id=job.name,
        doc_md=f"{job.guarantee}. Reads {', '.join(job.reads)}; writes {', '.join(job.writes)}.",
        inlets=[read_asset(name) for name in job.reads],
    )
    def reconcile_one() -> str:
        from lakehouse.runtime.reconcile import reconcile

        (action,) = reconcile(load_settings(), [job])
        return f"{action.step}: {action.reason}"

    return reconcile_one()


with DAG(
    "streaming_jobs",
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=5),
    is_paused_upon_creation=False,
    tags=["control"],
    params={
        "jobs": Param(
            list(JOBS),
            type="array",
            items={"type": "string", "enum": list(JOBS)},
            title="Jobs",
            description="Which jobs to reconcile; the schedule takes all.",
        )
    },
    doc_md="""
### Streaming jobs

Each minute, `look` compares each job of `lakehouse/contracts/jobs.py` with its *wanted* state (PostgreSQL,
`runtime.jobs`). For those that differ their task runs, and makes them equal; the others' are skipped, as each task
costs seconds of CPU:

| wanted | actual | what the task does |
|---|---|---|
| running | lost or failed | starts it; a Flink job from its newest complete checkpoint |
| running | starting, restarting | waits for the next minute: its engine is at it |
| stopped | running | stops it |

Streams never run inside a task. To change what is wanted: `lakehouse job start NAME`, `lakehouse job stop NAME`.
A stopped job stays stopped. The task's return value says what it did and why.

The task `forgotten_work` ends batch work whose waiting task vanished more than a minute ago, and withdraws replays
whose run is over and nobody told them. `superseded_values`
deletes from Redis what an earlier generation of the live dashboard left, once the present one has arrived. `lag`
returns and logs how far each consumer is behind, why, and what to do, as `lakehouse lag` says it.

These tasks write no table themselves, so they tell of no asset's update: each job's task says what its job writes, and
the page *Lakehouse* in the menu how the tables are.
""",
):

    @task.branch(doc_md="Which of the tasks beside it have something to do.")
    def look(params: dict) -> list[str]:
        from infra.airflow.runs import goes_on
        from lakehouse.live_generations import has_superseded
        from lakehouse.replay import withdrawal
        from lakehouse.runtime.reconcile import due
        from lakehouse.runtime.submissions import forgotten
        from lakehouse.services import ServiceDownError

        settings = load_settings()
        found = due(settings, [JOBS[name] for name in params["jobs"]])
        if forgotten(settings) or withdrawal.owed(settings, goes_on):
            found.append("forgotten_work")
        try:
            superseded = has_superseded(settings)
        except ServiceDownError:
            superseded = True
        return [*found, *(["superseded_values"] if superseded else [])]

    looked = look()
    for spec in JOBS.values():
        looked >> reconcile_job(spec)

    @task(doc_md="Ends submissions whose lease has run out, and withdraws replays whose run is over: nobody waits.")
    def forgotten_work() -> list[str]:
        from infra.airflow.runs import goes_on
        from infra.local.batch import stop_forgotten
        from jobs.batch.replay.ended import withdraw_ended

        settings = load_settings()
        return [*stop_forgotten(settings), *withdraw_ended(settings, goes_on)]

    looked >> forgotten_work()

    @task(doc_md="Deletes the live values of earlier generations; skipped until the present one has arrived.")
    def superseded_values() -> int:
        from lakehouse.drained import NotDrainedError
        from lakehouse.live_generations import delete_superseded

        try:
            # Briefly: the next run reconciles again, and may not come too late.
            return delete_superseded(load_settings(), timeout_seconds=25)
        except NotDrainedError as error:
            raise AirflowSkipException(str(error)) from error

    looked >> superseded_values()

    @task(
        doc_md="How far each consumer is behind Kafka, why, and what to do; skipped where nobody can say.",
        inlets=[topic_asset(name) for name in dict.fromkeys(topic for job in JOBS.values() for topic in job.topics)],
        # What makes jobs as they are wanted goes first.
        priority_weight=0,
    )
    def lag() -> list[dict]:
        import logging

        from lakehouse.drained import consumers, look
        from lakehouse.questions import Unanswered, answer_within

        # Briefly: the next run looks again, and may not come too late.
        found = answer_within(LAG_SECONDS, "lag", lambda: look(load_settings(), consumers()))
        if isinstance(found, Unanswered):
            raise AirflowSkipException(f"The lag is not known: {found.why}")
        for line in found.lines():
            logging.getLogger(__name__).info("%s", line)
        return found.to_list()

    lag()
