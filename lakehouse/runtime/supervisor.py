"""Client of the local supervisor: which programs run, start one, stop one."""

import hashlib
import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from xmlrpc.client import Fault, ServerProxy, Transport

from lakehouse.settings import Settings

LONGEST_SOCKET_PATH: Final = 90
"""A socket's path may have 107 bytes; the supervisor makes it under a longer temporary name first."""

CALL_SECONDS: Final = 120.0
"""A call that waits for a program to stop takes as long as that program's patience."""

ALIVE_SECONDS: Final = 5.0

RESPAWN_SECONDS: Final = 2.5
"""The supervisor looks once a second whether what has ended is to be started again."""
_LOOK_SECONDS: Final = 0.1
_AT_REST: Final = ("STOPPED", "FATAL", "UNKNOWN")
"""States out of which the supervisor brings no program by itself."""
_BAD_NAME, _NOT_RUNNING, _ALREADY_STARTED = 10, 70, 60


class SupervisorDownError(Exception):
    """The local supervisor doesn't run, so nothing that it keeps does."""

    def __init__(self) -> None:
        super().__init__("The local stack isn't running: start it with `lakehouse up`.")


class UnknownProgramError(Exception):
    """The supervisor has no program of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The supervisor knows no program {name!r}: `lakehouse up` after adding it.")
        self.name = name


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A program as the supervisor sees it; `started_at` is in epoch seconds, 0 if it never ran."""

    name: str
    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN."""
    pid: int | None
    started_at: int
    exit_status: int
    spawn_error: str

    @property
    def running(self) -> bool:
        return self.state in ("STARTING", "RUNNING", "BACKOFF")


def run_directory(settings: Settings) -> Path:
    """Where socket, pid file and configuration lie; readable by their owner alone."""
    wanted = settings.home.absolute() / "run"
    if len(os.fsencode(wanted / "supervisor.sock")) <= LONGEST_SOCKET_PATH:
        return wanted
    short = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"lakehouse-{os.getuid()}-{short}"


def socket_path(settings: Settings) -> Path:
    return run_directory(settings) / "supervisor.sock"


def job_program(job: str) -> str:
    """The program that runs the job of this name."""
    return f"job-{job}"


class Supervisor:
    """Speaks to the supervisor of one installation.

    Every method raises `SupervisorDownError` if it doesn't run; those with a name raise `UnknownProgramError`.
    """

    def __init__(self, settings: Settings) -> None:
        self.socket = socket_path(settings)

    def _call(self, method: str, *arguments: Any, seconds: float = CALL_SECONDS) -> Any:
        proxy = ServerProxy("http://localhost", transport=_UnixTransport(self.socket, seconds))
        try:
            return getattr(proxy, method)(*arguments)
        except Fault as fault:
            if fault.faultCode == _BAD_NAME:
                raise UnknownProgramError(str(arguments[0])) from None
            raise
        except (OSError, HTTPException) as error:
            raise SupervisorDownError from error
        finally:
            proxy("close")()

    def alive(self) -> bool:
        """Whether it answers; one that is frozen does not."""
        try:
            self._call("supervisor.getState", seconds=ALIVE_SECONDS)
        except SupervisorDownError:
            return False
        return True

    def programs(self) -> dict[str, ProgramState]:
        """All programs by name, running or not."""
        return {info["name"]: _state(info) for info in self._call("supervisor.getAllProcessInfo")}

    def status(self, name: str) -> ProgramState:
        return _state(self._call("supervisor.getProcessInfo", name))

    def start(self, name: str, wait: bool = False) -> None:
        """Start the program unless it runs. With `wait`, return when it has lived for a second."""
        try:
            self._call("supervisor.startProcess", name, wait)
        except Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise

    def stop(self, name: str, wait: bool = True) -> None:
        """Stop the program if it runs: its stop signal, after its patience SIGKILL to the process group.

        One that has just ended by itself does not run, and is about to be started again: it is stopped then.
        """
        deadline = time.monotonic() + RESPAWN_SECONDS
        while True:
            try:
                self._call("supervisor.stopProcess", name, wait)
            except Fault as fault:
                if fault.faultCode != _NOT_RUNNING:
                    raise
            else:
                return
            state = self.status(name).state
            if state in _AT_REST or (state == "EXITED" and time.monotonic() > deadline):
                return
            time.sleep(_LOOK_SECONDS)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send the program a signal if it runs."""
        try:
            self._call("supervisor.signalProcess", name, number.name.removeprefix("SIG"))
        except Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise

    def add(self, name: str) -> None:
        """Take up a program that was added to the configuration since the supervisor started."""
        self._call("supervisor.addProcessGroup", name)

    def reload_configuration(self) -> tuple[list[str], list[str], list[str]]:
        """Names of programs that were added to, changed in and removed from the configuration."""
        added, changed, removed = self._call("supervisor.reloadConfig")[0]
        return added, changed, removed

    def remove(self, name: str) -> None:
        """Forget a stopped program."""
        self._call("supervisor.removeProcessGroup", name)

    def shutdown(self) -> None:
        """End the supervisor and what it still runs; returns at once."""
        self._call("supervisor.shutdown")

    def supervisor_pid(self) -> int:
        return int(self._call("supervisor.getPID"))


def _state(info: dict[str, Any]) -> ProgramState:
    return ProgramState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"] or None,
        started_at=info["start"],
        exit_status=info["exitstatus"],
        spawn_error=info["spawnerr"],
    )


class _UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(Transport):
    """XML-RPC over a unix socket, giving up after some seconds: the supervisor's own waits for ever."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._path = path
        self._seconds = seconds

    def make_connection(self, host: Any) -> HTTPConnection:  # noqa: ARG002
        return _UnixConnection(self._path, self._seconds)
