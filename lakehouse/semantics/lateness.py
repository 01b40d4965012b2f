"""Lateness: a fact of the log, and only accounting (docs/semantics.md, Lateness).

A record's watermark is the highest event time at lower offsets of its partition, less 1 minute. An event
time at or above it is *on time*; down to 5 minutes below it, inclusive, *late*; below that *very late*.
Dead letters don't move the watermark, duplicates do; a partition's first valid record is on time.
"""

from enum import StrEnum
from typing import Final

from lakehouse.semantics.windows import MINUTE

WATERMARK_DELAY_MS: Final = MINUTE
LATE_UP_TO_MS: Final = 5 * MINUTE


class Lateness(StrEnum):
    ON_TIME = "on_time"
    LATE = "late"
    VERY_LATE = "very_late"


class PartitionWatermark:
    """The watermark of one partition, fed with its valid records in offset order."""

    __slots__ = ("_highest",)

    def __init__(self) -> None:
        self._highest: int | None = None

    def observe(self, event_time: int) -> Lateness:
        """Classifies the record against those before it, then moves the watermark."""
        highest = self._highest
        if highest is None:
            self._highest = event_time
            return Lateness.ON_TIME
        if event_time > highest:
            self._highest = event_time
            return Lateness.ON_TIME
        behind = highest - WATERMARK_DELAY_MS - event_time
        if behind <= 0:
            return Lateness.ON_TIME
        return Lateness.LATE if behind <= LATE_UP_TO_MS else Lateness.VERY_LATE
