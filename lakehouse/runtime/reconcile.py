"""Makes what runs equal to what is wanted, one job at a time."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lakehouse.checkpoints import begin_checkpoint
from lakehouse.contracts.jobs import Engine, JobSpec
from lakehouse.kafka.consumer import ReadError
from lakehouse.losses import Loss, RecordsLostError
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.runtime.process import ProcessAdapter
from lakehouse.runtime.protocol import Adapter, JobStatus, State
from lakehouse.runtime.sources import losses_of
from lakehouse.runtime.wanted import JobBusyError, Wanted, WantedState, job_lock, migrate, set_wanted, wanted_state
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_log = logging.getLogger(__name__)


class Step(StrEnum):
    NOTHING = "nothing"
    SUBMITTED = "submitted"
    STOPPED = "stopped"
    WAITED = "waited"
    """Its engine is at it, or somebody else holds the job: the next round looks again."""
    CANCELLED_SURPLUS = "cancelled surplus"


@dataclass(frozen=True, slots=True)
class Action:
    """What `reconcile` did about a job, and why."""

    job: str
    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as an operator sees it."""

    spec: JobSpec
    wanted: WantedState
    actual: JobStatus

    @property
    def healthy(self) -> bool:
        """Whether it runs exactly if it should; what may or may not run is not."""
        if self.actual.state is State.UNKNOWN:
            return False
        return (self.wanted.wanted is Wanted.RUNNING) == (self.actual.state is State.RUNNING)


def adapter(settings: Settings, job: JobSpec) -> Adapter:
    return FlinkAdapter(settings) if job.engine is Engine.FLINK else ProcessAdapter(settings)


def view(settings: Settings, job: JobSpec) -> JobView:
    """Wanted and actual state. Raises `lakehouse.services.ServiceDownError` if PostgreSQL doesn't answer."""
    migrate(settings)
    wanted = wanted_state(settings, job.name)
    try:
        actual = adapter(settings, job).status(job)
    except ServiceDownError as error:
        actual = JobStatus(State.UNKNOWN, detail=str(error))
    return JobView(job, wanted, actual)


def start(settings: Settings, job: JobSpec, by: str) -> Action:
    """Want `job` running, and start it now if it doesn't. Raises what the adapter's `submit` raises."""
    migrate(settings)
    set_wanted(settings, job.name, Wanted.RUNNING, by)
    with job_lock(settings, job.name):
        return _reconcile_held(settings, job)


def stop(settings: Settings, job: JobSpec, by: str, *, savepoint: bool = False) -> str | None:
    """Want `job` stopped, then stop it so that it can go on later; the savepoint's path if one was asked for.

    The wish comes first and the lock after it: a submission under way ends, and is then stopped; whoever
    reconciles later reads the wish.
    """
    migrate(settings)
    set_wanted(settings, job.name, Wanted.STOPPED, by)
    with job_lock(settings, job.name):
        return adapter(settings, job).stop(job, savepoint=savepoint)


def finish(settings: Settings, job: JobSpec, by: str) -> None:
    """Want `job`, a Spark stream, stopped, and stop it between two batches, so that nothing is half done.

    Raises StopFailedError where its batch takes too long: it stops when that is done.
    """
    migrate(settings)
    set_wanted(settings, job.name, Wanted.STOPPED, by)
    with job_lock(settings, job.name):
        driver = ProcessAdapter(settings)
        driver.finish(job)
        driver.stop(job)  # the supervisor forgets to restart it


def begin_anew(settings: Settings, job: JobSpec, by: str) -> str:
    """Want `job`, one of Flink's, running, from new state: it reads its topics from their beginnings, and what it
    writes is of a new generation. Returns the handle of the new run.

    Its checkpoints stay, and count no more. Killed in between, it is started by whoever reconciles.
    Raises what the adapter's `stop` and `submit` raise.
    """
    migrate(settings)
    with job_lock(settings, job.name):
        driver = FlinkAdapter(settings)
        driver.stop(job)
        begin_checkpoint(settings, job.name, None)
        set_wanted(settings, job.name, Wanted.RUNNING, by)
        return driver.submit(job)


def cancel(settings: Settings, job: JobSpec, by: str) -> None:
    """As `stop`, at once and without a savepoint."""
    migrate(settings)
    set_wanted(settings, job.name, Wanted.STOPPED, by)
    with job_lock(settings, job.name):
        adapter(settings, job).cancel(job)


def reconcile(settings: Settings, jobs: Iterable[JobSpec]) -> list[Action]:
    """Start what is wanted and doesn't run, stop what runs and isn't wanted; what was done, job by job.

    A job that somebody else is starting or stopping is left to them. A Flink job goes on from its newest
    complete checkpoint. Raises what the adapters raise, at the first job that can't be helped.
    """
    migrate(settings)
    actions = []
    for job in jobs:
        try:
            with job_lock(settings, job.name, wait=False):
                action = _reconcile_held(settings, job)
        except JobBusyError as error:
            action = Action(job.name, Step.WAITED, str(error))
        _log.info("%s: %s, because %s", action.job, action.step, action.reason)
        actions.append(action)
    return actions


def due(settings: Settings, jobs: Iterable[JobSpec]) -> list[str]:
    """The jobs that `reconcile` would do something about, or that nobody can tell the state of; nothing is done.

    Raises `lakehouse.services.ServiceDownError` if PostgreSQL doesn't answer.
    """
    migrate(settings)
    return [job.name for job in jobs if not _settled(settings, job)]


def _settled(settings: Settings, job: JobSpec) -> bool:
    seen = view(settings, job)
    if seen.wanted.wanted is Wanted.STOPPED:
        return not seen.actual.state.alive
    driver = adapter(settings, job)
    if not (seen.healthy and isinstance(driver, FlinkAdapter)):
        return seen.healthy
    return not driver.surplus(job) and not _lost(settings, job, seen.actual.state)


def _lost(settings: Settings, job: JobSpec, state: State) -> Sequence[Loss]:
    """What a job that is alive can't go on without; nothing while nobody can tell."""
    try:
        return losses_of(settings, job, running=state is State.RUNNING)
    except (ServiceDownError, ReadError):
        return ()


def _reconcile_held(settings: Settings, job: JobSpec) -> Action:
    driver = adapter(settings, job)
    # Read under the lock: who stopped the job wrote before waiting for it.
    wanted = wanted_state(settings, job.name)
    try:
        actual = driver.status(job)
    except ServiceDownError as error:
        if wanted.wanted is Wanted.RUNNING:
            raise
        return Action(job.name, Step.NOTHING, f"it is wanted stopped, and {error}")
    found = f"it is wanted {wanted.wanted} and is {actual.state}"
    if actual.state is State.FAILED and actual.detail:
        found += f" ({actual.detail})"
    if wanted.wanted is Wanted.STOPPED:
        if not actual.state.alive:
            return Action(job.name, Step.NOTHING, found)
        driver.stop(job)
        return Action(job.name, Step.STOPPED, found)
    if isinstance(driver, FlinkAdapter) and (surplus := driver.surplus(job)):
        driver.cancel_runs(surplus)
        return Action(job.name, Step.CANCELLED_SURPLUS, f"it ran more than once: {', '.join(surplus)}")
    alive = isinstance(driver, FlinkAdapter) and actual.state.alive
    if alive and (losses := _lost(settings, job, actual.state)):
        # Flink would fail at it again and again, or worse, find the same offsets in another log.
        driver.cancel(job)
        raise RecordsLostError(job.name, losses)
    if actual.state is State.RUNNING:
        return Action(job.name, Step.NOTHING, found)
    if actual.state.alive or actual.state is State.STOPPING:
        return Action(job.name, Step.WAITED, found)
    handle = driver.submit(job)
    return Action(job.name, Step.SUBMITTED, f"{found}; now {handle}")
