"""What `silver.products` is."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.versions import scd2

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """One row per version."""
    return scd2(events.products)
