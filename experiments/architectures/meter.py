"""What a process and its descendants use, sampled while they run."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import psutil

from infra.local import programs
from lakehouse.object_store import build_client
from lakehouse.settings import ROOT, Settings

_SAMPLE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Usage:
    """`memory_bytes`: the highest sum of the processes' proportional shares (PSS). Read and written bytes are those of
    read and write calls, of files and connections alike."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """One after the other: memory is the higher of the two."""
        return Usage(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.memory_bytes, other.memory_bytes),
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
        )

    def beside(self, other: "Usage") -> "Usage":
        """At the same time: memory adds up, time does not."""
        total = self + other
        return replace(
            total,
            seconds=max(self.seconds, other.seconds),
            memory_bytes=self.memory_bytes + other.memory_bytes,
        )


class Meter:
    """Measures the tree of the process `pid` from now on, until `stop`."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[float, int, int]] = {}
        self._before: dict[int, tuple[float, int, int]] = {}
        self._memory = 0
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="meter", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Forgets what was used so far."""
        self._sample()
        with self._lock:
            self._before, self._memory, self._began = dict(self._seen), 0, time.monotonic()

    def read(self) -> Usage:
        """What was used until now."""
        self._sample()
        with self._lock:
            nothing = (0.0, 0, 0)
            used = [
                [now - then for now, then in zip(seen, self._before.get(pid, nothing), strict=True)]
                for pid, seen in self._seen.items()
            ]
            cpu, read, written = (sum(column) for column in zip(*used, strict=True)) if used else nothing
            return Usage(time.monotonic() - self._began, cpu, self._memory, int(read), int(written))

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        memory = 0
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        with self._lock:
            for process in tree:
                try:
                    times, io = process.cpu_times(), process.io_counters()
                    memory += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
                self._seen[process.pid] = (times.user + times.system, io.read_chars, io.write_chars)
            self._memory = max(self._memory, memory)


@dataclass(frozen=True, slots=True)
class Running:
    """A process under measurement."""

    process: "subprocess.Popen[bytes]"
    meter: Meter
    log: Path

    @classmethod
    def start(cls, settings: Settings, module: str, *arguments: str) -> Self:
        """``python -m module arguments`` as the supervisor would run it, in the namespace of `settings`."""
        log = settings.home.absolute() / "logs" / f"{settings.prefixed(module)}.log"
        environment = os.environ | programs.base_environment(settings) | {"LAKEHOUSE_NAMESPACE": settings.namespace}
        command = ("setpriv", "--pdeathsig", "TERM", sys.executable, "-m", module, *arguments)
        with log.open("ab") as file:
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file, stderr=file)
        return cls(process, Meter(process.pid), log)

    def require_alive(self) -> None:
        """Raises RuntimeError once it has ended."""
        if (status := self.process.poll()) is not None:
            raise RuntimeError(f"{self.log.stem} ended with status {status}: see {self.log}")

    def stop(self) -> Usage:
        """Ends the process; returns what it has used."""
        usage = self.meter.read()
        self.meter.stop()
        self.process.terminate()
        self.process.wait(60)
        return usage


@contextmanager
def running(settings: Settings, module: str, *arguments: str) -> Iterator[Running]:
    """A process that is ended at the block's end."""
    started = Running.start(settings, module, *arguments)
    try:
        yield started
    finally:
        started.stop()


def measured(settings: Settings, module: str, *arguments: str) -> Usage:
    """Runs a process to its end; what it has used.

    Raises:
        RuntimeError: it failed; the message names its log.
    """
    with running(settings, module, *arguments) as started:
        usage = Usage()
        while started.process.poll() is None:
            usage = started.meter.read()
            time.sleep(_SAMPLE_SECONDS)
        if started.process.returncode:
            started.require_alive()
        return usage


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies in MinIO, removed files included: nothing is vacuumed meanwhile."""

    objects: int
    size_bytes: int


def stored(settings: Settings, *layers: str) -> Stored:
    """The objects of the tables of `layers` (``silver``, ``lambda``) of a namespace."""
    sizes = []
    for layer in layers:
        location = settings.table_path(f"{layer}.any").removeprefix(f"s3://{settings.bucket}/")
        prefix = location.rpartition("/")[0] + "/"
        found = build_client(settings).list_objects(settings.bucket, prefix, recursive=True)
        sizes += [each.size or 0 for each in found]
    return Stored(len(sizes), sum(sizes))
