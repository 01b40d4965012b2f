"""What is to be said of cells that are not as they are now."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from lakehouse.durations import duration
from lakehouse.questions import OLD_SECONDS, Known

NEVER: Final = "not known yet"


def doubts(cells: Iterable[Known], now: datetime) -> tuple[str, ...]:
    """Why some of `cells` isn't known, or only as it was a while ago; each reason once."""
    return tuple(dict.fromkeys(_doubts(cells, now)))


def _doubts(cells: Iterable[Known], now: datetime) -> Iterator[str]:
    for known in cells:
        age = known.age_seconds(now)
        if known.why:
            yield known.why
        elif age is None:
            yield NEVER
        elif age > OLD_SECONDS:
            yield f"last known {duration(age)} ago"
