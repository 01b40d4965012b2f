"""The journal of micro-batches: one JSON line when a batch begins, one for each step done, one at its end.

A line is on disk before the work goes on, so that after a kill the journal tells how far the batch had come.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.settings import Settings

_TAIL_BYTES = 1 << 20
"""More than the longest line."""


def journal_path(settings: Settings, job: str = SPARK_INGEST) -> Path:
    return settings.home / "logs" / f"{settings.prefixed(job)}.progress.jsonl"


def finished_batches(settings: Settings, since: datetime) -> Iterator[dict[str, Any]]:
    """The "end" entries of the micro-batches that began at or after `since` and held records."""
    for line in journal_path(settings).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["event"] == "end" and entry["input_rows"] and datetime.fromisoformat(entry["started_at"]) >= since:
            yield entry


def last_batch_ended(settings: Settings) -> bool:
    """Whether the newest batch was done whole, so that no row is owed; False before the first."""
    path = journal_path(settings)
    if not path.exists():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().splitlines()
    return bool(lines) and json.loads(lines[-1])["event"] == "end"


def half_done(settings: Settings) -> bool:
    """Whether the newest batch was cut off, so that rows are owed that only its repetition can make."""
    return journal_path(settings).exists() and not last_batch_ended(settings)


class Journal:
    """Appends to the journal of one batch. Steps may run in several threads."""

    def __init__(self, path: Path, batch_id: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._batch_id = batch_id
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._started_at = _now()
        self._seconds: dict[str, float] = {}
        self._versions: dict[str, int] = {}

    def begin(self) -> None:
        self._write({"event": "begin", "started_at": self._started_at})

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times a step; it is written when the step is done, not when it fails."""
        started = time.monotonic()
        yield
        seconds = round(time.monotonic() - started, 3)
        with self._lock:
            self._seconds[name] = seconds
        self._write({"event": "step", "step": name, "seconds": seconds})

    def wrote(self, table: str, version: int | None) -> None:
        """Notes the version that the batch's commit made, if it made one."""
        if version is not None:
            with self._lock:
                self._versions[table] = version

    def fail(self, error: BaseException) -> None:
        self._write({"event": "failed", "error": str(error)[:2000]})

    def end(self, **found: Any) -> None:
        """The whole of the batch, and what was `found` of it."""
        self._write(
            {
                "event": "end",
                "started_at": self._started_at,
                "ended_at": _now(),
                "total_seconds": round(time.monotonic() - self._started, 3),
                **found,
                "seconds": self._seconds,
                "versions": self._versions,
            }
        )

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps({"batch_id": self._batch_id, "at": _now()} | line)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
