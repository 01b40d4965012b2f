"""The journal of cycles: a JSON line for each that has committed something."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from logging import INFO, LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from jobs.follower.cycle import Follower
from lakehouse.contracts.graph import EVENT_TABLES
from lakehouse.contracts.owners import FOLLOWER
from lakehouse.settings import Settings

_KEPT_BYTES: Final = 16 << 20
"""Of the newest cycles, and as many of those before."""


def journal_path(settings: Settings) -> Path:
    return settings.home / "logs" / f"{settings.prefixed(FOLLOWER)}.progress.jsonl"


class Journal:
    """Of one follower's cycles."""

    def __init__(self, follower: Follower) -> None:
        path = journal_path(follower.lake.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = RotatingFileHandler(path, maxBytes=_KEPT_BYTES, backupCount=1, encoding="utf-8")
        self._follower, self._cycle = follower, 0
        self._began, self._before = _now(), dict[str, int]()
        self._rows = 0

    def begin(self) -> None:
        """Before a cycle."""
        self._began = _now()

    def end(self) -> None:
        """After one that has committed."""
        lake, sources = self._follower.lake, self._follower.sources
        versions = {name: lake.version(name) for name in sources}
        rows = sum(sum(lake.files(name).rows.values()) for name in sources)
        ended = _now()
        seconds: dict[str, float] = {}
        for name, taken in self._follower.seconds.items():
            layer = "events" if name in EVENT_TABLES else name.split(".")[0]
            seconds[layer] = seconds.get(layer, 0.0) + taken
            seconds[name] = taken
        line = {
            "event": "end",
            "batch_id": self._cycle,
            "started_at": self._began.isoformat(timespec="milliseconds"),
            "ended_at": ended.isoformat(timespec="milliseconds"),
            "input_rows": max(0, rows - self._rows) if self._before else rows,
            "total_seconds": round((ended - self._began).total_seconds(), 3),
            "seconds": {name: round(taken, 3) for name, taken in seconds.items()},
            "read": {name: [self._before.get(name, 0), version] for name, version in versions.items()},
            "settled": self._follower.settled(),
            "settled_but_late": self._follower.settled(but_late=True),
        }
        self._file.emit(LogRecord(FOLLOWER, INFO, "", 0, json.dumps(line), None, None))
        self._cycle, self._before, self._rows = self._cycle + 1, versions, rows


def finished_cycles(settings: Settings, since: datetime) -> Iterator[dict[str, Any]]:
    """The entries of the cycles that began at or after `since`, as far as they are kept."""
    newest = journal_path(settings)
    for path in (newest.with_name(f"{newest.name}.1"), newest):
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            entry: dict[str, Any] = json.loads(line)
            if datetime.fromisoformat(entry["started_at"]) >= since:
                yield entry


def _now() -> datetime:
    return datetime.now(UTC)
