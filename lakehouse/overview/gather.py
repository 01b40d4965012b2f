"""Asks everything about all jobs and tables at once."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lakehouse.contracts.tables import TABLES
from lakehouse.overview.jobs import JobRow, job_row, questions_of
from lakehouse.overview.tables import TableRow, extent_of, last_checks, last_comparisons, table_row
from lakehouse.parity.results import objectives
from lakehouse.questions import Questions
from lakehouse.runtime.spec import JobSpec
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Overview:
    """All jobs and tables as they were `at`; it took `seconds` to find out."""

    at: datetime
    seconds: float
    jobs: tuple[JobRow, ...]
    tables: tuple[TableRow, ...]

    def to_json(self) -> str:
        """Times as ISO 8601."""
        found: dict[str, Any] = {
            "at": self.at,
            "seconds": round(self.seconds, 3),
            "jobs": [row.to_dict() for row in self.jobs],
            "tables": [row.to_dict() for row in self.tables],
        }
        return json.dumps(found, default=datetime.isoformat)


def overview(settings: Settings, jobs: Iterable[JobSpec], questions: Questions) -> Overview:
    """Finds out what it can of `jobs` and of every declared table within `settings.overview_seconds`.

    Raises nothing that a service does: it is said in the rows.
    """
    at, began, jobs = datetime.now(UTC), time.monotonic(), tuple(jobs)
    asked: dict[str, Callable[[], Any]] = {
        "quality": partial(last_checks, settings),
        "parity": partial(last_comparisons, settings),
        "sampled": partial(objectives, settings, at),
    }
    for job in jobs:
        asked |= questions_of(settings, job)
    asked |= {f"table {name}": partial(extent_of, settings, name) for name in TABLES}
    answers = questions.ask(asked, settings.overview_seconds)
    return Overview(
        at,
        time.monotonic() - began,
        tuple(job_row(settings, job, answers) for job in jobs),
        tuple(table_row(contract, answers) for contract in TABLES.values()),
    )
