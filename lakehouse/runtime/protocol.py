"""How jobs are driven, whatever engine runs them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lakehouse.contracts.jobs import JobSpec


class State(StrEnum):
    """Actual state of a job, as its engine reports it."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    """The engine itself brings it back: Flink's restart strategy, or the supervisor's."""
    STOPPING = "stopping"
    STOPPED = "stopped"
    """Not there: never started, stopped, or lost with the process that knew of it."""
    FAILED = "failed"
    """Ended by itself, and the engine has given up on it."""
    UNKNOWN = "unknown"
    """Its engine doesn't answer."""

    @property
    def alive(self) -> bool:
        """Whether the engine holds it running or on its way there."""
        return self in (State.STARTING, State.RUNNING, State.RESTARTING)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """`handle` names the running thing: Flink's job id, a pid. `detail` is for people."""

    state: State
    handle: str | None = None
    detail: str = ""
    since_ms: int | None = None
    checkpoint: str | None = None
    """The newest complete checkpoint of this run, where the engine knows of one."""
    checkpoint_ms: int | None = None
    """When that was complete."""
    restored: str | None = None
    """The checkpoint or savepoint that this run last went on from; None: it began from new state."""
    restarts: int | None = None
    """How often its engine has brought it back since somebody started it; None where it can't tell."""
    code: str | None = None
    """The version that it starts from, if that is another than the installed one."""


class SubmissionFailedError(RuntimeError):
    """The engine refused a job, or the job's own start failed; the message carries the reason."""


class StopFailedError(RuntimeError):
    """The engine could not stop a job as asked: it may still run."""


class Adapter(Protocol):
    """Drives the jobs of one engine.

    Called with the job's lock held (`wanted.job_lock`), so never twice at once for one job. Every method
    raises `lakehouse.services.ServiceDownError` when the engine doesn't answer.
    """

    def status(self, job: JobSpec) -> JobStatus: ...

    def submit(self, job: JobSpec) -> str:
        """Start `job` from its newest complete checkpoint, else from new state; its handle.

        May assume that it doesn't run. Raises `SubmissionFailedError`.
        """
        ...

    def stop(self, job: JobSpec, *, savepoint: bool = False) -> str | None:
        """End `job` so that it can go on from where it was, and return once it has ended.

        A process drains: it finishes what it holds and ends. `savepoint` asks Flink for one first and returns
        its path. A job that doesn't run is left alone. Raises `StopFailedError`.
        """
        ...

    def cancel(self, job: JobSpec) -> None:
        """End `job` at once, whatever it holds, and return once it has ended. Raises `StopFailedError`."""
        ...
