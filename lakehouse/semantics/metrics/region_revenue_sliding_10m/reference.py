"""Revenue by the purchase's region in sliding windows (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.region_revenue_5m.reference import windows
from lakehouse.semantics.metrics.region_revenue_sliding_10m.spec import RULE

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """One row per region and 10-minute window, one starting every minute; an event counts in ten of them."""
    return windows(events, RULE)
