"""Reads a Spark driver's journal: what it says of batches that were begun, repeated and ended."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.streaming.spark.progress import journal_path
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.settings import Settings


class Journal:
    def __init__(self, settings: Settings, job: str = SPARK_INGEST) -> None:
        self._path: Path = journal_path(settings, job)

    def lines(self, batch_id: int | None = None, event: str | None = None) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        # The last line may be half written at this moment.
        complete = self._path.read_text(encoding="utf-8").rpartition("\n")[0]
        lines = _of_this_checkpoint([json.loads(line) for line in complete.splitlines()])
        return [
            line
            for line in lines
            if (batch_id is None or line["batch_id"] == batch_id) and (event is None or line["event"] == event)
        ]

    def open_batch(self, done_step: str) -> int | None:
        """The batch under way, if it has done `done_step` and is not at its end."""
        lines = self.lines()
        begun = [i for i, line in enumerate(lines) if line["event"] == "begin"]
        if not begun:
            return None
        current = lines[begun[-1] :]
        steps = {line["step"] for line in current if line["event"] == "step"}
        ended = any(line["event"] in ("end", "failed") for line in current)
        return int(current[0]["batch_id"]) if done_step in steps and not ended else None


def _of_this_checkpoint(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A new checkpoint counts batches from 0 again."""
    first, batch_id = 0, -1
    for number, line in enumerate(lines):
        if line["event"] == "begin":
            if line["batch_id"] < batch_id:
                first = number
            batch_id = line["batch_id"]
    return lines[first:]


def seconds(line: dict[str, Any], key: str = "at") -> float:
    return datetime.fromisoformat(line[key]).timestamp()
