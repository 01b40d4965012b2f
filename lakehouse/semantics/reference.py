"""The reference: every table computed from events. No engine imports it, else it would be compared with itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics import ROOMS

Row = dict[str, Any]
"""A table's row: its compared columns, times in milliseconds, dates as dates, fingerprints as integers."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One table's meaning. `compute` yields its rows in no particular order, one at a time to bound memory."""

    table: str
    compute: Callable[[Events], Iterator[Row]]


METRICS: Final[Mapping[str, Metric]] = {
    name: Metric(name, room.module("reference").compute) for name, room in ROOMS.items()
}
"""Metrics by table."""
