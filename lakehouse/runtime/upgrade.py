"""Replaces a running job by the version on disk: nothing lost, nothing doubled."""

from dataclasses import dataclass

from lakehouse.checkpoints import begin_checkpoint, current_checkpoint
from lakehouse.contracts.jobs import JobSpec
from lakehouse.delta import open_table, table_exists
from lakehouse.runtime.code_in_force import put_in_force
from lakehouse.runtime.process import ProcessAdapter
from lakehouse.runtime.reconcile import adapter
from lakehouse.runtime.wanted import Wanted, job_lock, migrate, set_wanted
from lakehouse.settings import ROOT, Settings
from lakehouse.spark_checkpoints import last_spark_batch, query_id, spark_positions


class UpgradeError(ValueError):
    """The job can't be upgraded like this; it is as it was, or stopped where the message says so."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """`goes_on_from`: the savepoint, or what it knew when it was stopped; `handle`: of the new run."""

    job: str
    goes_on_from: str
    handle: str

    def __str__(self) -> str:
        return f"{self.job}: goes on from {self.goes_on_from}; now {self.handle}"


def upgrade(settings: Settings, job: JobSpec, by: str, *, new_checkpoint: bool = False) -> Upgrade:
    """Stops `job` so that nothing is half done, and starts the version that is on disk from there.

    A Flink job is stopped with a savepoint. A process goes on from its checkpoint, or, with `new_checkpoint`, a Spark
    stream from the offsets at which the last batch of the old one ended: for a plan that Spark refuses to restore. If
    the new version does not start, the job stays wanted, and the version before goes on from the same place.

    Raises:
        UpgradeError: as its message says.
        StopFailedError, SubmissionFailedError, ServiceDownError: as the adapters do.
    """
    if new_checkpoint and not job.state_in_tables:
        raise UpgradeError(
            f"{job.name} keeps in its checkpoint what it has seen, and a new one would forget it: upgrade it without"
        )
    migrate(settings)
    # Under the lock nobody revives what is stopped here.
    with job_lock(settings, job.name):
        driver = adapter(settings, job)
        if isinstance(driver, ProcessAdapter):
            came_from = _restart_at(settings, job, driver) if new_checkpoint else _stopped(job, driver)
            put_in_force(settings, job.name, ROOT)
        else:
            came_from = driver.stop(job, savepoint=True) or "its newest checkpoint"
        set_wanted(settings, job.name, Wanted.RUNNING, by)
        return Upgrade(job.name, came_from, driver.submit(job))


def _stopped(job: JobSpec, driver: ProcessAdapter) -> str:
    driver.stop(job)
    return "where it was stopped"


def _restart_at(settings: Settings, job: JobSpec, driver: ProcessAdapter) -> str:
    driver.finish(job)
    if half := half_done_batch(settings, job):
        raise UpgradeError(
            f"{half}: it was killed. Start the job with the version that it had, and upgrade it while it runs."
        )
    last = last_spark_batch(settings, job.name)
    if last is None:
        return f"the start of checkpoint {current_checkpoint(settings, job.name).number}, as no batch is done"
    begun = begin_checkpoint(settings, job.name, spark_positions(settings, job.name))
    return f"the offsets at which batch {last.number} ended, with checkpoint {begun.number}"


def half_done_batch(settings: Settings, job: JobSpec) -> str:
    """Which batch of a Spark stream that does not run is in tables and not in its checkpoint, in words; empty: none."""
    last, checkpoint = last_spark_batch(settings, job.name), current_checkpoint(settings, job.name)
    done = -1 if last is None else last.number
    app_id = settings.prefixed(f"{job.name}.{query_id(settings, checkpoint)}")
    for name in job.writes:
        version = open_table(settings, name).transaction_version(app_id) if table_exists(settings, name) else None
        if version is not None and version > done:
            return f"batch {version} of {job.name} is half done ({name} has it)"
    return ""
