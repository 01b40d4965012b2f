"""What a mart's day is, as seen from given versions of the tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

import polars as pl

Span: TypeAlias = tuple[datetime, datetime]
"""First and last event time, both included."""


@dataclass(frozen=True, slots=True)
class Look:
    """The rows of `mart` for the UTC day, computed from `versions` of its sources: those of the time `at`.

    `span`: the event times that the rows depend on.
    """

    mart: str
    day: date
    at: datetime
    versions: Mapping[str, int]
    span: Span
    rows: pl.DataFrame
