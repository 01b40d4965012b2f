"""Ends processes of the stack that outlived their supervisor."""

import os
import signal
import time
from pathlib import Path
from typing import Final

from infra.local import launch
from infra.local.programs import marker
from lakehouse.runtime.supervisor import run_directory
from lakehouse.settings import Settings

_PATIENCE_SECONDS: Final = 20
_POLL_SECONDS: Final = 0.05


def end(settings: Settings) -> None:
    """End whatever carries this installation's mark, and a supervisor that no longer answers.

    Politely first: TERM (PostgreSQL: INT, since it waits for its sessions on TERM), SIGKILL after 20 s.
    """
    _end_supervisor(settings)
    prefix = marker(settings)
    for pid, mark in launch.marked(prefix):
        _send(pid, signal.SIGINT if mark == marker(settings, "postgres") else signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(True for _ in launch.marked(prefix)):
        if time.monotonic() > deadline:
            launch.kill_marked(prefix)
        time.sleep(_POLL_SECONDS)
    for name in ("supervisor.sock", "supervisor.pid"):
        (run_directory(settings) / name).unlink(missing_ok=True)


def wait_until_gone(pid: int) -> None:
    """Return when the process has ended."""
    while _command_line(pid):
        time.sleep(_POLL_SECONDS)


def _end_supervisor(settings: Settings) -> None:
    """A frozen supervisor would revive what is ended here, so it goes first."""
    run = run_directory(settings)
    try:
        pid = int((run / "supervisor.pid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    # The pid may be another process's by now.
    if str(run / "supervisor.conf") in _command_line(pid):
        _send(pid, signal.SIGKILL)
        wait_until_gone(pid)


def _command_line(pid: int) -> str:
    """The command of a living process; empty for one that ended, a zombie included."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
