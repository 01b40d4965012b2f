"""Faults of processes: killed, or frozen for a while."""

import contextlib
from collections.abc import Callable
from typing import Self

import psutil

from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings


class NotRunningError(RuntimeError):
    """A fault is due, and its target is just not there: it is down from an earlier one, or stopped."""


def processes(settings: Settings, program: str) -> list[psutil.Process]:
    """A program's process and all its descendants.

    Raises:
        NotRunningError: it has none.
    """
    pid = Supervisor(settings).status(program).pid
    try:
        leader = psutil.Process(pid) if pid else None
        # From the leader on: once frozen, it makes no more.
        return [leader, *leader.children(recursive=True)] if leader else _none(program)
    except psutil.NoSuchProcess:
        return _none(program)


def _none(program: str) -> list[psutil.Process]:
    raise NotRunningError(f"{program} does not run")


def kill(settings: Settings, program: str) -> int:
    """SIGKILL to all of a program at once; the pid that it had."""
    victims = processes(settings, program)
    _each(victims, psutil.Process.kill)
    return victims[0].pid


class Frozen:
    """Processes stopped in their tracks, connections and locks in hand, until `heal` or the block's end."""

    def __init__(self, victims: list[psutil.Process]) -> None:
        self._victims = victims
        _each(victims, psutil.Process.suspend)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()

    def heal(self) -> None:
        """Of those that were killed meanwhile nothing is left to thaw."""
        _each(self._victims, psutil.Process.resume)


def _each(of: list[psutil.Process], do: Callable[[psutil.Process], None]) -> None:
    for process in of:
        with contextlib.suppress(psutil.NoSuchProcess):
            do(process)
