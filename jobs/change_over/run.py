"""The steps of a change-over; see `docs/follower.md`, Changing over.

The long one, deriving silver and gold anew, goes on beside the Spark driver, which then ends between two batches. What
was done is found in the tables and in the wanted states, so that a call that was killed is made again.
"""

from typing import Final

from jobs.change_over import bronze
from jobs.change_over.refusals import ChangeOverError, require_nothing_open
from jobs.change_over.tables import Derived, Progress
from jobs.change_over.wanted import CALLED, stopped_for_it
from lakehouse.checkpoints import begin_checkpoint
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST, INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.delta.notes import Asked
from lakehouse.runtime import reconcile
from lakehouse.runtime.lease import lease
from lakehouse.runtime.owners import owners_stopped
from lakehouse.runtime.upgrade import half_done_batch
from lakehouse.runtime.wanted import Wanted, job_lock, set_wanted, wanted_state
from lakehouse.settings import Settings

NOTE: Final = Asked(job="change_over", scope="change-over to the follower")

_OLD: Final = (SPARK_INGEST, INGEST_TRANSACTIONS)
_SHADOWS: Final = (FOLLOWER, INGEST)


def carry_over(settings: Settings, by: str, progress: Progress) -> None:
    """Ends the Spark driver and its ingester, and makes of their tables those of ingest and follower.

    Raises:
        ChangeOverError: something is under way that would be lost; nothing has changed.
        StopFailedError: the batch under way takes too long; call it again.
        LeaseHeldError, TableError, ServiceDownError.
    """
    require_nothing_open(settings)
    for name in _SHADOWS:
        progress(f"stopping {name}, which ran beside")
        reconcile.stop(settings, JOBS[name], f"{CALLED}{by}")
    with lease(settings, FOLLOWER):
        derived = Derived(settings, progress)
        if wanted_state(settings, SPARK_INGEST).wanted is Wanted.RUNNING:
            derived.catch_up()
        progress(f"waiting for {SPARK_INGEST} to end its batch")
        reconcile.finish(settings, JOBS[SPARK_INGEST], f"{CALLED}{by}")
        _end_ingester(settings, by, progress)
        with owners_stopped(settings, [t for job in _OLD + _SHADOWS for t in JOBS[job].writes], JOBS.values()):
            require_nothing_open(settings)
            if half := half_done_batch(settings, JOBS[SPARK_INGEST]):
                raise ChangeOverError(f"{half}: it was killed. Let `lakehouse job start {SPARK_INGEST}` end it")
            progress("saying in bronze how far it was read")
            bronze.say(settings, bronze.ends(settings), NOTE)
            derived.settle()
            for name in DERIVED:
                progress(f"putting {name} in place")
                derived.put_in_place(name, NOTE)
            # What the shadow's checkpoint knows is how far it has read for tables of its own.
            begin_checkpoint(settings, INGEST, None)


def _end_ingester(settings: Settings, by: str, progress: Progress) -> None:
    """With a savepoint, so that all that it has read is committed: what a checkpoint of one that was killed has yet to
    commit, only that job can. One that does not run is started for it."""
    job = JOBS[INGEST_TRANSACTIONS]
    if stopped_for_it(settings, job.name):
        return
    progress(f"stopping {job.name} with a savepoint")
    reconcile.start(settings, job, by)
    with job_lock(settings, job.name):
        # Before the wish: killed in between, it is started again.
        if reconcile.adapter(settings, job).stop(job, savepoint=True) is None:
            raise ChangeOverError(
                f"{job.name} does not run, and has to end with a savepoint: `lakehouse job status {job.name}` says why"
            )
        set_wanted(settings, job.name, Wanted.STOPPED, f"{CALLED}{by}")
