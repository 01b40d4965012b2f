"""Times as integer milliseconds since the epoch, UTC, and the windows that they fall into."""

from datetime import date
from functools import lru_cache
from typing import Final

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def floor(time_ms: int, size_ms: int) -> int:
    """Start of the epoch-aligned, half-open window of `size_ms` that holds `time_ms`."""
    return time_ms - time_ms % size_ms


def utc_date(time_ms: int) -> date:
    """The UTC day that holds `time_ms`."""
    return _date(time_ms // DAY)


@lru_cache(maxsize=65_536)
def _date(day: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + day)


def midnight(day: date) -> int:
    """The first millisecond of a UTC day."""
    return (day.toordinal() - _EPOCH_ORDINAL) * DAY
