"""Replaces a running job by its new version."""

from datetime import datetime

from airflow.sdk import DAG, Param, task

from lakehouse.contracts.jobs import JOBS

ANEW = tuple(job.name for job in JOBS.values() if job.state_in_tables)

with DAG(
    "upgrade",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["control"],
    params={
        "job": Param(next(iter(JOBS)), type="string", enum=list(JOBS), title="Job", description="Which one."),
        "new_checkpoint": Param(
            False,
            type="boolean",
            title="New checkpoint",
            description=f"For a Spark plan that can't be restored ({', '.join(ANEW)}): go on at the same offsets.",
        ),
    },
    doc_md=f"""
### Upgrade a job

Replaces a running job by the version of the code that is installed, so that nothing is lost or doubled:

| job | how it is stopped | from where the new version goes on |
|---|---|---|
| Flink | with a savepoint | that savepoint |
| Spark, other processes | by signal; what was cut off is repeated | their checkpoint or group |
| Spark with *New checkpoint* | between two batches | the offsets at which the last batch ended |

*New checkpoint* is for a stream whose plan has changed so that Spark refuses its checkpoint. It is refused for jobs
that keep in it what they have seen; {", ".join(ANEW)} keeps that in its tables. If the new version does not start, the
run fails and says why; install the version before, and `streaming_jobs` starts it from the same place.
The return value says from where it goes on. Run `audit` afterwards to see that every record is there once.
""",
):

    @task
    def upgrade(params: dict, dag_run=None) -> str:
        from lakehouse.runtime.upgrade import upgrade as carry_out
        from lakehouse.settings import load_settings

        by = dag_run.triggering_user_name or "airflow"
        return str(carry_out(load_settings(), JOBS[params["job"]], by, new_checkpoint=params["new_checkpoint"]))

    upgrade()
