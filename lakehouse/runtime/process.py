"""Jobs that are processes under the local supervisor."""

import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from lakehouse.contracts.jobs import JobSpec
from lakehouse.runtime.code_in_force import in_force
from lakehouse.runtime.protocol import JobStatus, State, StopFailedError, SubmissionFailedError
from lakehouse.runtime.supervisor import ProgramState, Supervisor, SupervisorDownError, UnknownProgramError, job_program
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

STATES: Final = {
    "STARTING": State.STARTING,
    "RUNNING": State.RUNNING,
    "BACKOFF": State.RESTARTING,
    "STOPPING": State.STOPPING,
    "STOPPED": State.STOPPED,
    "EXITED": State.FAILED,
    "FATAL": State.FAILED,
    "UNKNOWN": State.FAILED,
}
"""The supervisor's words in ours. It starts again what ends by itself: EXITED has finished, as it was asked to."""

FINISH: Final = signal.SIGUSR1
"""Asks a Spark stream to end after the batch under way; other processes don't know it, and would end by it."""
FINISHED_STATUS: Final = 76
"""With which it then ends. After any other end, with status 0 too, the supervisor starts a job again: nobody asked it
to end."""
FINISH_SECONDS: Final = 600.0
"""A batch of a catch-up may take minutes."""

FRESH_SECONDS: Final = 60
"""A process that started since is asked why its predecessor ended."""
_POLL_SECONDS: Final = 0.25
_TAIL_BYTES: Final = 64 * 1024
_SUPERVISOR_TAIL_BYTES: Final = 1024 * 1024
ERROR_LINE: Final = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) .*$", re.MULTILINE)
"""A line of a job's log that says why it ended."""


class ProcessAdapter:
    """Starts and stops `job-NAME` programs; their restart after a crash is the supervisor's work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._supervisor = Supervisor(settings)
        self._logs = settings.home / "logs"

    def status(self, job: JobSpec) -> JobStatus:
        program = self._program(job)
        ended = ends(_tail(self._logs / "supervisor.log", _SUPERVISOR_TAIL_BYTES), program.name)
        said = [program.spawn_error, *self._trouble(program, ended)]
        return JobStatus(
            STATES[program.state],
            handle=str(program.pid) if program.pid else None,
            detail="; ".join(filter(None, said)),
            since_ms=program.started_at * 1000 if program.running else None,
            restarts=len(ended),
            code=in_force(self._settings, job.name),
        )

    def _trouble(self, program: ProgramState, ended: Sequence[str]) -> Iterator[str]:
        """Of a program that is down or has just been started (again): how it last ended by itself, and the last error
        in its log."""
        never_ran, settled = not program.started_at, time.time() - program.started_at > FRESH_SECONDS
        if never_ran or program.state == "STOPPED" or (program.state == "RUNNING" and settled):
            return
        if ended:
            yield f"ended by itself with {ended[-1]}" + (", and is started again" if program.running else "")
        errors = ERROR_LINE.findall(_tail(self._logs / f"{program.name}.log", _TAIL_BYTES))
        if errors:
            yield f"last error: {errors[-1]}"

    def submit(self, job: JobSpec) -> str:
        name = job_program(job.name)
        try:
            self._supervisor.start(name)
        except SupervisorDownError as error:
            raise ServiceDownError("supervisor", str(self._supervisor.socket)) from error
        except UnknownProgramError as error:
            raise SubmissionFailedError(str(error)) from error
        return self.status(job).handle or name

    def stop(self, job: JobSpec, *, savepoint: bool = False) -> str | None:
        if savepoint:
            raise StopFailedError(f"{job.name} is a process and has no savepoints: stop it without --savepoint")
        self.cancel(job)
        return None

    def finish(self, job: JobSpec) -> None:
        """End a Spark stream between two batches, and return once it has ended; one that doesn't run is left alone.

        Raises `StopFailedError` where its batch takes too long: it ends when that is done.
        """
        name, asked = job_program(job.name), self.status(job).handle
        try:
            self._supervisor.signal(name, FINISH)
        except SupervisorDownError as error:
            raise ServiceDownError("supervisor", str(self._supervisor.socket)) from error
        except UnknownProgramError:
            return
        deadline = time.monotonic() + FINISH_SECONDS
        while (now := self.status(job)).state.alive and now.handle == asked:
            if time.monotonic() > deadline:
                raise StopFailedError(f"the batch of {job.name} is not done within {FINISH_SECONDS:.0f} s; look again")
            time.sleep(_POLL_SECONDS)
        if now.state.alive:
            # Of a version, or under a supervisor, that knows another status: started again, with no batch begun yet.
            self.cancel(job)

    def cancel(self, job: JobSpec) -> None:
        """As `stop`: the supervisor sends SIGTERM, and SIGKILL to the whole group when its patience ends."""
        try:
            self._supervisor.stop(job_program(job.name), wait=True)
        except SupervisorDownError as error:
            raise ServiceDownError("supervisor", str(self._supervisor.socket)) from error
        except UnknownProgramError:
            return
        left = self.status(job)
        if left.state not in (State.STOPPED, State.FAILED):
            raise StopFailedError(f"{job.name} is still {left.state} (pid {left.handle})")

    def _program(self, job: JobSpec) -> ProgramState:
        name = job_program(job.name)
        try:
            return self._supervisor.status(name)
        except SupervisorDownError as error:
            raise ServiceDownError("supervisor", str(self._supervisor.socket)) from error
        except UnknownProgramError:
            return ProgramState(name, "STOPPED", None, 0, 0, "not in the supervisor's configuration")


def ends(log: str, program: str) -> list[str]:
    """How `program` ended by itself, each time since it was last stopped, by the supervisor's `log` or the end of it:
    ``exit status 1``, ``terminated by SIGKILL``. An end that the supervisor expected was asked for."""
    said = re.findall(rf"(?:stopped: {re.escape(program)} |exited: {re.escape(program)} \((.*); not expected\))", log)
    stopped = max((n for n, how in enumerate(said, 1) if not how), default=0)
    return said[stopped:]


def _tail(path: Path, size: int) -> str:
    """The last `size` bytes; nothing of a file that isn't there."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - size))
            return log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
