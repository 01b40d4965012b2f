"""What is to be said of a job: as it is wanted and as it is, how fresh, how far behind."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lakehouse.drained import consumers
from lakehouse.drained.waiting import owed, patience
from lakehouse.questions import Unanswered
from lakehouse.runtime.protocol import State
from lakehouse.runtime.reconcile import JobView, view
from lakehouse.runtime.spec import Engine, JobSpec
from lakehouse.runtime.wanted import Wanted
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import SparkBatch, last_spark_batch


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job; None is what isn't known, or what there is not. `unknown`: why something isn't known.

    `lag`: records that it owes. `waiting_seconds`: how long the oldest of these has waited; 0 if it owes none.
    `target_seconds`: within which a record shows in what the job writes. `patience_seconds`: the longest that
    `waiting_seconds` is while the target is met. `code`: from which it starts, if that is not the installed one.
    """

    job: str
    engine: Engine
    by_default: bool
    writes: tuple[str, ...]
    target_seconds: int
    patience_seconds: int
    wanted: Wanted | None = None
    actual: State | None = None
    healthy: bool | None = None
    detail: str = ""
    since: datetime | None = None
    restarts: int | None = None
    checkpoint: str | None = None
    checkpoint_at: datetime | None = None
    lag: int | None = None
    waiting_seconds: float | None = None
    code: str | None = None
    unknown: tuple[str, ...] = ()

    @property
    def fresh(self) -> bool | None:
        """Whether the target is met; None for a job that isn't wanted, or where nobody knows."""
        if self.wanted is not Wanted.RUNNING or self.waiting_seconds is None:
            return None
        return self.waiting_seconds <= self.patience_seconds

    @property
    def wrong(self) -> bool:
        """Whether it is known not to be as wanted, or not to meet its target."""
        return self.healthy is False or self.fresh is False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it, and all was found out."""
        return not (self.wrong or self.unknown)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, but for its times."""
        return asdict(self) | {"fresh": self.fresh, "ok": self.ok}


def questions_of(settings: Settings, job: JobSpec) -> dict[str, Callable[[], Any]]:
    """What to ask of `job`, by names of its own."""
    asked: dict[str, Callable[[], Any]] = {f"state of {job.name}": partial(view, settings, job)}
    if job.name in consumers():
        asked[f"lag of {job.name}"] = partial(owed, settings, job.name)
    if job.spark:  # a process, and the supervisor knows nothing of checkpoints
        asked[f"batch of {job.name}"] = partial(last_spark_batch, settings, job.name)
    return asked


def job_row(settings: Settings, job: JobSpec, answers: Mapping[str, Any]) -> JobRow:
    """The row of `job`, from the answers to its questions."""
    seen, lag, batch = (answers.get(f"{what} of {job.name}") for what in ("state", "lag", "batch"))
    found: dict[str, Any] = {}
    if isinstance(seen, JobView):
        actual = seen.actual
        found |= {
            "wanted": seen.wanted.wanted,
            "actual": actual.state,
            "healthy": None if actual.state is State.UNKNOWN else seen.healthy,
            "detail": actual.detail,
            "since": _time(actual.since_ms),
            "restarts": actual.restarts,
            "code": actual.code,
            "checkpoint": actual.checkpoint and actual.checkpoint.rpartition("/")[2],
            "checkpoint_at": _time(actual.checkpoint_ms),
        }
    if isinstance(batch, SparkBatch):
        found |= {"checkpoint": f"batch {batch.number}", "checkpoint_at": batch.at}
    if isinstance(lag, tuple):
        found["lag"], found["waiting_seconds"] = lag
    if found.get("actual") is State.UNKNOWN:  # PostgreSQL answers, and the job's engine doesn't
        seen = Unanswered(found.pop("detail"))
    why = [answer.why for answer in (seen, lag, batch) if isinstance(answer, Unanswered)]
    return JobRow(
        job.name,
        job.engine,
        job.by_default,
        job.writes,
        job.freshness_seconds,
        patience(settings, job),
        unknown=tuple(dict.fromkeys(why)),
        **found,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
