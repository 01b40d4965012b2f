"""Work with an end, run as a program that the supervisor takes up while it runs.

The supervisor keeps the process, so it outlives the Airflow task that submitted it; a submission is known by
its work and try (`lakehouse.runtime.submissions`).
"""

import hashlib
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infra.local import programs
from infra.local.credentials import write_private
from lakehouse.runtime import submissions
from lakehouse.runtime.supervisor import ProgramState, Supervisor, UnknownProgramError
from lakehouse.runtime.wanted import job_lock, migrate
from lakehouse.settings import Settings

STOP_SECONDS = 60
"""A comparison that is cancelled takes a stack of its own down first."""


class Outcome(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GONE = "gone"
    """Stopped, or lost with the supervisor."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One try of a piece of work, e.g. ``dag/run/task`` and the task's try number."""

    work: str
    try_number: int

    @property
    def program(self) -> str:
        return f"{_prefix(self.work)}{self.try_number}"


def work_of(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """The name of the work that an Airflow task submits."""
    return f"{dag_id}/{run_id}/{task_id}/{map_index}"


def submit(settings: Settings, submission: Submission, module: str, arguments: tuple[str, ...]) -> None:
    """Run ``python -m module arguments``, after ending what older tries left running.

    A submission that runs or has ended already is left as it is, so that a repeated call is harmless.

    Raises:
        StaleTryError: this try was stopped, or a newer one has begun.
    """
    supervisor = Supervisor(settings)
    migrate(settings)
    with job_lock(settings, submission.work):
        submissions.claim(settings, submission.work, submission.try_number)
        known = _tries(supervisor, submission.work)
        if submission.try_number in known:
            return
        for older in known:
            _end(settings, supervisor, Submission(submission.work, older))
        program = programs.Program(
            name=submission.program,
            command=("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", module, *arguments),
            environment=programs.base_environment(settings),
            stop_signal="TERM",
            stop_seconds=STOP_SECONDS,
            restart="false",
        )
        programs.write_spec(settings, program)
        programs.batch_directory(settings).mkdir(exist_ok=True, mode=0o700)
        write_private(_configuration_file(settings, submission), programs.section(settings, program, once=True))
        supervisor.reload_configuration()
        supervisor.add(submission.program)
        supervisor.start(submission.program)


def outcome(settings: Settings, submission: Submission) -> Outcome:
    """How the submission is; asking renews its lease."""
    submissions.renew(settings, submission.work, submission.try_number)
    try:
        state = Supervisor(settings).status(submission.program)
    except UnknownProgramError:
        return Outcome.GONE
    return _outcome(state)


def stop(settings: Settings, submission: Submission) -> None:
    """End this try and older ones, and keep them from starting; returns once their processes are gone."""
    supervisor = Supervisor(settings)
    with job_lock(settings, submission.work):
        submissions.mark_stopped(settings, submission.work, submission.try_number)
        for number in _tries(supervisor, submission.work):
            if number <= submission.try_number:
                _end(settings, supervisor, Submission(submission.work, number))


def stop_if_known(settings: Settings, submission: Submission) -> None:
    """As `stop`, if the supervisor has a program of this work."""
    if _tries(Supervisor(settings), submission.work):
        stop(settings, submission)


def stop_forgotten(settings: Settings) -> list[str]:
    """Stop the submissions that nobody waits for any more; their programs."""
    ended = []
    for work, try_number in submissions.forgotten(settings):
        submission = Submission(work, try_number)
        stop(settings, submission)
        ended.append(submission.program)
    return ended


def log_file(settings: Settings, submission: Submission) -> str:
    return str(settings.home.absolute() / "logs" / f"{submission.program}.log")


def _prefix(work: str) -> str:
    return f"batch-{hashlib.sha256(work.encode()).hexdigest()[:12]}-"


def _tries(supervisor: Supervisor, work: str) -> list[int]:
    prefix = _prefix(work)
    return sorted(int(name.removeprefix(prefix)) for name in supervisor.programs() if name.startswith(prefix))


def _end(settings: Settings, supervisor: Supervisor, submission: Submission) -> None:
    supervisor.stop(submission.program)
    supervisor.remove(submission.program)
    for file in (_configuration_file(settings, submission), programs.spec_path(settings, submission.program)):
        file.unlink(missing_ok=True)


def _configuration_file(settings: Settings, submission: Submission) -> Path:
    return programs.batch_directory(settings) / f"{submission.program}.conf"


def _outcome(state: ProgramState) -> Outcome:
    if state.running or state.state == "STOPPING":
        return Outcome.RUNNING
    if state.state == "EXITED":
        return Outcome.SUCCEEDED if state.exit_status == 0 else Outcome.FAILED
    return Outcome.GONE if state.state == "STOPPED" else Outcome.FAILED
