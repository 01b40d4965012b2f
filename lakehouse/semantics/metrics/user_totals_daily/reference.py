"""Purchases per user and day (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.user_totals.reference import totals

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """The same per user and UTC date: the rollup of `user_totals`."""
    for (_, day), row in totals(events, daily=True).items():
        yield row | {"event_date": day}
