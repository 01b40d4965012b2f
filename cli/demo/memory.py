"""Samples the memory of the whole stack: each process's proportional share (PSS), added up."""

import threading
from pathlib import Path
from typing import Final

import psutil

_SAMPLE_SECONDS: Final = 5.0


class MemoryPeak:
    """Peak of the PSS of `root_pid` and all its descendants, in bytes; use as a context manager.

    PSS counts a page that several processes share once in all; RSS would count it in each.
    """

    def __init__(self, root_pid: int) -> None:
        self._root = root_pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            self.peak_bytes = max(self.peak_bytes, stack_pss(self._root))
            self._stop.wait(_SAMPLE_SECONDS)


def stack_pss(root_pid: int) -> int:
    """Bytes of PSS of the process tree under `root_pid`, itself included."""
    try:
        root = psutil.Process(root_pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_pss(process.pid) for process in processes)


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # it ended, or belongs to somebody else
        return 0
    return 0
