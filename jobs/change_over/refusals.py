"""What stands in the way of a change-over, each by its name and with the way out."""

from collections.abc import Iterator

from lakehouse.contracts.core import SET_BY_HAND
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.losses import in_words
from lakehouse.rejudge import trail
from lakehouse.replay import store
from lakehouse.runtime.code_in_force import in_force
from lakehouse.runtime.reconcile import view
from lakehouse.runtime.sources import losses_of
from lakehouse.settings import Settings


class ChangeOverError(RuntimeError):
    """An installation can't be changed over now; the message says why, and what to do. It is as it was."""


def require_nothing_open(settings: Settings) -> None:
    """Raises ChangeOverError: something is under way that the other core would not see through. ServiceDownError."""
    if found := list(_open(settings)):
        raise ChangeOverError("; ".join(found))


def _open(settings: Settings) -> Iterator[str]:
    if SET_BY_HAND:
        yield "LAKEHOUSE_CORE is set, which would outrank the change: take it out of the environment and of .env"
    for replay in store.newest_first(settings, limit=1_000):
        if replay.state in store.OPEN:
            yield f"replay {replay.id} is {replay.state}: let it end, or `lakehouse replay cancel {replay.id}`"
    if trail.unfinished(settings):
        yield "records are judged anew, and what follows is not done: `lakehouse rejudge --apply` does the rest"
    if code := in_force(settings, SPARK_INGEST):
        yield (
            f"{SPARK_INGEST} runs code {code}, which a replay put in force, and the follower runs what is installed: "
            f"`lakehouse job upgrade {SPARK_INGEST}` first"
        )
    for job in (JOBS[SPARK_INGEST], JOBS[INGEST_TRANSACTIONS]):
        if losses := losses_of(settings, job, running=view(settings, job).actual.state.alive):
            yield f"Kafka lacks what {job.name} is to read: {in_words(losses)} (`lakehouse job accept-loss {job.name}`)"
