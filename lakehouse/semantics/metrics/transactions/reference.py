"""What `silver.transactions` is."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """One row per event."""
    for transaction in events.transactions:
        yield transaction._asdict() | {"event_date": utc_date(transaction.event_time)}
