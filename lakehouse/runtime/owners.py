"""Work on tables that their owners must not meanwhile write."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from lakehouse.contracts.jobs import JobSpec
from lakehouse.runtime.protocol import State
from lakehouse.runtime.reconcile import view
from lakehouse.runtime.wanted import Wanted, job_lock, migrate
from lakehouse.settings import Settings


class OwnerRunningError(RuntimeError):
    """A job writes the table, or may at any moment."""

    def __init__(self, table: str, job: str, state: str) -> None:
        super().__init__(
            f"{table} is written by {job}, which is {state}: stop it first with `lakehouse job stop {job}`, "
            f"and start it again afterwards"
        )


@contextmanager
def owners_stopped(settings: Settings, tables: Collection[str], jobs: Iterable[JobSpec]) -> Iterator[None]:
    """Holds those of `jobs` that write one of `tables`, so that nobody starts them within the block.

    Raises:
        OwnerRunningError: one of them runs, or is wanted running.
        ServiceDownError: PostgreSQL, which knows what is wanted, or the job's engine does not answer.
    """
    concerned = {job: [table for table in tables if table in job.writes] for job in jobs}
    owners = {job: written[0] for job, written in concerned.items() if written}
    with ExitStack() as held:
        if owners:
            migrate(settings)
        for job, table in owners.items():
            held.enter_context(job_lock(settings, job.name))
            seen = view(settings, job)
            if seen.wanted.wanted is Wanted.RUNNING:
                raise OwnerRunningError(table, job.name, "wanted running")
            if seen.actual.state not in (State.STOPPED, State.FAILED):
                raise OwnerRunningError(table, job.name, seen.actual.state)
        yield
