"""What is to be said of a job: as it is wanted and as it is, how fresh, how far behind."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from lakehouse.contracts.jobs import Engine, JobSpec
from lakehouse.drained import consumers
from lakehouse.drained.waiting import owed, patience
from lakehouse.overview.doubts import doubts
from lakehouse.questions import Known, Question
from lakehouse.runtime.protocol import JobStatus, State
from lakehouse.runtime.reconcile import JobView, adapter
from lakehouse.runtime.wanted import Wanted, WantedState, migrate, wanted_state
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import SparkBatch, last_spark_batch

_OF_STATE: Final = ("actual", "since", "restarts", "checkpoint")
"""Cells that an engine answers in one."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job; None is what isn't known, or what there is not. `unknown`: why something isn't known, or is only as it was
    a while ago.

    `lag`: records that it owes. `waiting_seconds`: how long the oldest of these has waited; 0 if it owes none.
    `target_seconds`: within which a record shows in what the job writes. `patience_seconds`: the longest that
    `waiting_seconds` is while the target is met. `code`: from which it starts, if that is not the installed one.
    `age_seconds`: by cell, how long ago it was known; None for never.
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
    age_seconds: Mapping[str, float | None] = field(default_factory=dict)

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


def questions_of(settings: Settings, job: JobSpec) -> Iterator[Question]:
    """What to ask of `job` alone; what is wanted is asked of all at once (`wanted_states`)."""
    engine = "flink" if job.engine is Engine.FLINK else "supervisor"
    yield Question(engine, f"state of {job.name}", lambda: adapter(settings, job).status(job))
    if job.name in consumers():
        yield Question("kafka", f"lag of {job.name}", partial(owed, settings, job.name))
    if job.spark:  # a process, and the supervisor knows nothing of checkpoints
        yield Question("minio", f"batch of {job.name}", partial(last_spark_batch, settings, job.name))


def wanted_states(settings: Settings, jobs: Iterable[JobSpec]) -> dict[str, WantedState]:
    """What is wanted of each job. Raises ServiceDownError: PostgreSQL does not answer."""
    migrate(settings)
    return {job.name: wanted_state(settings, job.name) for job in jobs}


def job_row(settings: Settings, job: JobSpec, known: Mapping[str, Known], now: datetime) -> JobRow:
    """The row of `job`, from what is known at the time `now` of the questions about it."""
    asked = {"wanted": known.get("wanted", Known())} | {
        question.name.partition(" ")[0]: known.get(question.name, Known()) for question in questions_of(settings, job)
    }
    wanted = (asked["wanted"].value or {}).get(job.name)
    status: JobStatus | None = asked["state"].value
    found: dict[str, Any] = {"wanted": wanted and wanted.wanted}
    if status:
        found |= {
            "actual": status.state,
            "healthy": JobView(job, wanted, status).healthy if wanted else None,
            "detail": status.detail,
            "since": _time(status.since_ms),
            "restarts": status.restarts,
            "code": status.code,
            "checkpoint": status.checkpoint and status.checkpoint.rpartition("/")[2],
            "checkpoint_at": _time(status.checkpoint_ms),
        }
    batch: SparkBatch | None = asked["batch"].value if "batch" in asked else None
    if batch:
        found |= {"checkpoint": f"batch {batch.number}", "checkpoint_at": batch.at}
    if "lag" in asked and asked["lag"].value:
        found["lag"], found["waiting_seconds"] = asked["lag"].value
    cells = {"wanted": ("wanted",), "state": _OF_STATE, "lag": ("lag", "waiting_seconds"), "batch": ("checkpoint",)}
    return JobRow(
        job.name,
        job.engine,
        job.by_default,
        job.writes,
        job.freshness_seconds,
        patience(settings, job),
        unknown=doubts(asked.values(), now),
        age_seconds={cell: each.age_seconds(now) for name, each in asked.items() for cell in cells[name]},
        **found,
    )


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
