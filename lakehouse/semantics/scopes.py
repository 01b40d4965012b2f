"""Which rows an event affects, and which events those rows need: declared as data.

Engines import this and turn each scope into their own filter. A scope tells, for one event, the `Range` of
rows to replace, and for such a range the events to read. A range is closed: ``start_ms <= time <= end_ms``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from lakehouse.semantics.windows import floor

FOREVER: Final = 2**62
"""Later than any time; its negative is earlier."""


@dataclass(frozen=True, slots=True)
class Range:
    """Rows or events whose `key` columns hold these values and whose time lies in [start_ms, end_ms]."""

    key: Mapping[str, str]
    start_ms: int
    end_ms: int

    def holds(self, values: Mapping[str, object], time_ms: int) -> bool:
        return self.start_ms <= time_ms <= self.end_ms and all(values[k] == v for k, v in self.key.items())


@dataclass(frozen=True, slots=True)
class Window:
    """The windows of `size_ms`, one every `every_ms`, that hold the event, for its values of `key`."""

    size_ms: int
    every_ms: int
    key: tuple[str, ...]

    def rows(self, time_ms: int, _neighbours: Sequence[int] = ()) -> tuple[int, int]:
        """First and last window start."""
        return floor(time_ms - self.size_ms + self.every_ms, self.every_ms), floor(time_ms, self.every_ms)

    def events(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """The events of all windows that start in the range."""
        return start_ms, end_ms + self.size_ms - 1


@dataclass(frozen=True, slots=True)
class Aligned:
    """What lies in the same span of `size_ms`, aligned to the epoch; events likewise."""

    size_ms: int
    key: tuple[str, ...]

    def rows(self, time_ms: int, _neighbours: Sequence[int] = ()) -> tuple[int, int]:
        return self.events(time_ms, time_ms)

    def events(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        return floor(start_ms, self.size_ms), floor(end_ms, self.size_ms) + self.size_ms - 1


@dataclass(frozen=True, slots=True)
class IntervalAround:
    """Rows from `before_ms` before the event to `after_ms` after it; their events likewise."""

    before_ms: int
    after_ms: int
    key: tuple[str, ...]

    def rows(self, time_ms: int, _neighbours: Sequence[int] = ()) -> tuple[int, int]:
        return time_ms - self.before_ms, time_ms + self.after_ms

    def events(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        return start_ms - self.before_ms, end_ms + self.after_ms


@dataclass(frozen=True, slots=True)
class NaturalSession:
    """From the event, widened in both directions until no event of the key lies within the gap of the edge.

    `extent`: the columns of a row between whose times all its events lie.
    """

    gap_ms: int
    key: tuple[str, ...]
    extent: tuple[str, str]

    def rows(self, time_ms: int, neighbours: Sequence[int] = ()) -> tuple[int, int]:
        """`neighbours`: the sorted times of the key's events."""
        start = end = time_ms
        for earlier in reversed(neighbours[: bisect_left(neighbours, time_ms)]):
            if start - earlier >= self.gap_ms:
                break
            start = earlier
        for later in neighbours[bisect_right(neighbours, time_ms) :]:
            if later - end >= self.gap_ms:
                break
            end = later
        return start, end

    def events(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        return start_ms, end_ms


@dataclass(frozen=True, slots=True)
class Version:
    """From a version's `valid_from` to the key's next one, `row_offset_ms` being added to a row's time before.

    The time of a version is its `valid_from`.
    """

    key: tuple[str, ...]
    row_offset_ms: int = 0

    def rows(self, time_ms: int, neighbours: Sequence[int] = ()) -> tuple[int, int]:
        """`neighbours`: the sorted `valid_from` of the key's versions."""
        later = bisect_right(neighbours, time_ms)
        until = neighbours[later] if later < len(neighbours) else FOREVER
        return time_ms - self.row_offset_ms, until - 1 - self.row_offset_ms

    def events(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        return start_ms, end_ms


@dataclass(frozen=True, slots=True)
class Key:
    """Every row of the key, and every event of it; an empty key: all there are."""

    key: tuple[str, ...]

    def rows(self, _time_ms: int, _neighbours: Sequence[int] = ()) -> tuple[int, int]:
        return -FOREVER, FOREVER

    def events(self, _start_ms: int, _end_ms: int) -> tuple[int, int]:
        return -FOREVER, FOREVER


Scope: TypeAlias = Window | Aligned | IntervalAround | NaturalSession | Version | Key


@dataclass(frozen=True, slots=True)
class MetricScope:
    """`affected`: by the topic of an event, the rows to replace. `needs`: by topic, the events to read for them.

    `row_time` is the row's column that a range bounds; a date stands for its midnight; None: a row has no time
    and is bounded by its key alone. What a metric doesn't name doesn't affect it, and of a topic in `only` none but
    events with these values.
    """

    row_time: str | None
    affected: Mapping[str, Scope]
    needs: Mapping[str, Scope]
    only: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Followed:
    """How a table follows one that it is computed from: which of its rows a row there affects, and which rows there
    those need. `time` is the column of that row whose time counts, if one does; `only`: the rows that do."""

    affected: Scope
    needs: Scope
    time: str | None
    only: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """The columns of rows that add up all rows of their key, and what of them they hold: sums, the least, the greatest.
    Those of the rows of a source follow from two halves of them in the same way."""

    sums: tuple[str, ...]
    least: tuple[str, ...]
    greatest: tuple[str, ...]


def same(row_time: str | None, scopes: Mapping[str, Scope]) -> MetricScope:
    """An event affects the rows that need it."""
    return MetricScope(row_time, scopes, scopes)
