"""Metrics that are sums by a key which each event names by itself: a window, a day, a user.

For these, what an event affects and what a row needs are one declaration: the key that the event has. The
rows affected by some events are those with the events' keys; a row needs all the events with its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A table, and how it comes from its inputs.

    `keyed`: by input table, SQL over ``{events}`` (rows of the input, or a micro-batch's events, which have no
    `event_date`) that gives the key columns of the table, `event_date` where it is partitioned, and what `rows`
    needs; all inputs give the same columns. `rows`: SQL over ``{keyed}``, the union of the inputs' keyed rows,
    that gives the table's columns less `changed_by`. `key`: what `keyed` and the table share.

    `window_minutes`: the length of windows that begin at the key's `window_start`; 0 for days and users.
    """

    table: str
    key: tuple[str, ...]
    keyed: Mapping[str, str]
    rows: str
    window_minutes: int = 0
