"""What every metric means, as pure Python without I/O: the form that all engines are compared with.

`read_events` turns Kafka records into an `EventLog`; `lakehouse.semantics.reference.METRICS` computes each
table from it; `lakehouse.semantics.metrics` has a room for each, with what engines may import of it.
"""

from lakehouse.semantics.events import Click, Event, Events, ProductVersion, ProfileVersion, Purchase, Transaction
from lakehouse.semantics.log import DeadLetter, EventLog, read_events

__all__ = [
    "Click",
    "DeadLetter",
    "Event",
    "EventLog",
    "Events",
    "ProductVersion",
    "ProfileVersion",
    "Purchase",
    "Transaction",
    "read_events",
]
