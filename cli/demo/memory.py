"""Samples the memory of the whole stack: each process's proportional share (PSS), added up by service."""

import threading
from collections import Counter
from pathlib import Path
from typing import Final

import psutil

from lakehouse.runtime.supervisor import Supervisor, SupervisorDownError

_SAMPLE_SECONDS: Final = 5.0


class MemoryPeak:
    """Bytes of PSS by service at the moment of their highest sum; use as a context manager.

    PSS counts a page that several processes share once in all; RSS would count it in each.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self.peak: Counter[str] = Counter()

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            now = by_service(self._supervisor)
            if now.total() > self.peak.total():
                self.peak = now
            self._stop.wait(_SAMPLE_SECONDS)


def by_service(supervisor: Supervisor) -> Counter[str]:
    """Bytes of PSS now; nothing where no supervisor runs."""
    try:
        programs = supervisor.programs()
    except SupervisorDownError:
        return Counter()
    return Counter({name: _tree(state.pid) for name, state in programs.items() if state.running and state.pid})


def _tree(pid: int) -> int:
    """Of a process and its descendants; 0 once it has ended."""
    try:
        root = psutil.Process(pid)
        return sum(_pss(process.pid) for process in (root, *root.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
