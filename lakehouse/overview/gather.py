"""What is known of all jobs and tables, and what to ask to know it anew."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lakehouse.contracts.jobs import JobSpec
from lakehouse.contracts.tables import TABLES
from lakehouse.overview.jobs import JobRow, job_row, questions_of, wanted_states
from lakehouse.overview.tables import TableRow, questions_of_tables, table_row
from lakehouse.questions import Answers, Question
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Overview:
    """All jobs and tables as they were last known `at` this time. `gathering`: newer answers are on their way."""

    at: datetime
    gathering: bool
    jobs: tuple[JobRow, ...]
    tables: tuple[TableRow, ...]

    def to_json(self) -> str:
        """Times as ISO 8601."""
        found: dict[str, Any] = {
            "at": self.at,
            "gathering": self.gathering,
            "jobs": [row.to_dict() for row in self.jobs],
            "tables": [row.to_dict() for row in self.tables],
        }
        return json.dumps(found, default=datetime.isoformat)


def overview(settings: Settings, jobs: Iterable[JobSpec], answers: Answers, wait_seconds: float = 0.0) -> Overview:
    """What `answers` holds of `jobs` and of every declared table; begins to ask for newer, and waits for that at most
    `wait_seconds`.

    Raises nothing that a service does: it is said in the rows.
    """
    jobs = tuple(jobs)
    answers.gather(_questions(settings, jobs))
    answers.wait(wait_seconds)
    gathering, known, at = answers.gathering, answers.known(), datetime.now(UTC)
    rows = (table_row(contract, known, at) for contract in TABLES.values())
    return Overview(
        at,
        gathering,
        tuple(job_row(settings, job, known, at) for job in jobs),
        # A variant is shown once somebody has written it.
        tuple(row for row in rows if row.extent is not None or TABLES[row.table].variant_of is None),
    )


def _questions(settings: Settings, jobs: tuple[JobSpec, ...]) -> Iterator[Question]:
    yield Question("postgres", "wanted", partial(wanted_states, settings, jobs))
    for job in jobs:
        yield from questions_of(settings, job)
    yield from questions_of_tables(settings)
