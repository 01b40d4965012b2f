"""What `silver.clicks` is."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.versions import Catalog, enriched

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """One row per event."""
    return enriched(events.clicks, Catalog(events.products))
