"""Which rows an event affects, and which events those rows need: declared as data.

Engines import this and turn each scope into their own filter. A scope tells, for one event, the `Range` of
rows to replace, and for such a range the events to read. A range is closed: ``start_ms <= time <= end_ms``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from lakehouse.semantics.windows import DAY, HOUR, MINUTE, floor

FOREVER: Final = 2**62
"""Later than any time; its negative is earlier."""

TUMBLING_MS: Final = 5 * MINUTE
SLIDING_MS: Final = 10 * MINUTE
SLIDE_MS: Final = MINUTE
SESSION_GAP_MS: Final = 30 * MINUTE
SESSION_PART_MS: Final = 4 * HOUR
LONG_SESSION_EVENTS: Final = 1000
LONG_SESSION_MS: Final = 4 * HOUR
ATTRIBUTION_MS: Final = 5 * MINUTE
ANOMALY_IMPRESSIONS: Final = 20
FLAG_MS: Final = 10 * MINUTE
FLAG_COUNT: Final = 6
TRIGGER_MS: Final = HOUR
TRIGGER_COUNT: Final = 11
BLOCK_MS: Final = HOUR
FRAUD_REACH_MS: Final = TRIGGER_MS + BLOCK_MS - 2
"""How far before a transaction lies the first that can matter to it: counted a millisecond less than an hour before a
trigger that lies a millisecond less than an hour before it."""


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
    """From the event, widened in both directions until no event of the key lies within the gap of the edge."""

    gap_ms: int
    key: tuple[str, ...]

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


Scope: TypeAlias = Window | IntervalAround | NaturalSession | Version | Key


@dataclass(frozen=True, slots=True)
class MetricScope:
    """`affected`: by the topic of an event, the rows to replace. `needs`: by topic, the events to read for them.

    `row_time` is the row's column that a range bounds; a date stands for its midnight; None: a row has no time
    and is bounded by its key alone. What a metric doesn't name doesn't affect it.
    """

    row_time: str | None
    affected: Mapping[str, Scope]
    needs: Mapping[str, Scope]


_CLICKS: Final = "shop.clicks"
_PURCHASES: Final = "shop.purchases"
_TRANSACTIONS: Final = "shop.transactions"
_PRODUCTS: Final = "shop.products"
_PROFILES: Final = "shop.profiles"

_ALL_VERSIONS: Final = Key(())
_EVERYTHING: Final = Key(())


def _same(row_time: str | None, scopes: Mapping[str, Scope]) -> MetricScope:
    return MetricScope(row_time, scopes, scopes)


_PRODUCT_5M: Final = Window(TUMBLING_MS, TUMBLING_MS, ("product_id",))
_PRODUCT_DAY: Final = Window(DAY, DAY, ("product_id",))
_REGION_DAY: Final = Window(DAY, DAY, ("region",))
_SESSION: Final = NaturalSession(SESSION_GAP_MS, ("user_id",))
_USER_AT: Final = IntervalAround(0, 0, ("user_id",))

SCOPES: Final[Mapping[str, MetricScope]] = {
    "silver.clicks": MetricScope(
        "event_time",
        affected={_CLICKS: _USER_AT, _PRODUCTS: Version(("product_id",))},
        needs={_CLICKS: IntervalAround(0, 0, ()), _PRODUCTS: _ALL_VERSIONS},
    ),
    "silver.purchases": MetricScope(
        "event_time",
        affected={_PURCHASES: _USER_AT, _PRODUCTS: Version(("product_id",))},
        needs={_PURCHASES: IntervalAround(0, 0, ()), _PRODUCTS: _ALL_VERSIONS},
    ),
    "silver.transactions": _same("event_time", {_TRANSACTIONS: _USER_AT}),
    "silver.products": _same(None, {_PRODUCTS: Key(("product_id",))}),
    "silver.profiles": _same(None, {_PROFILES: Key(("user_id",))}),
    "silver.sessions": _same("session_start", {_CLICKS: _SESSION}),
    "silver.session_parts": _same("session_start", {_CLICKS: _SESSION}),
    "silver.purchase_clicks": MetricScope(
        "event_time",
        affected={_PURCHASES: _USER_AT, _CLICKS: IntervalAround(0, ATTRIBUTION_MS, ("user_id", "product_id"))},
        needs={
            _PURCHASES: IntervalAround(0, 0, ("user_id",)),
            _CLICKS: IntervalAround(ATTRIBUTION_MS, 0, ("user_id",)),
        },
    ),
    "gold.product_metrics_5m": _same("window_start", {_CLICKS: _PRODUCT_5M, _PURCHASES: _PRODUCT_5M}),
    "gold.region_revenue_5m": _same("window_start", {_PURCHASES: Window(TUMBLING_MS, TUMBLING_MS, ("region",))}),
    "gold.region_revenue_daily": _same("event_date", {_PURCHASES: _REGION_DAY}),
    "gold.region_revenue_sliding_10m": _same("window_start", {_PURCHASES: Window(SLIDING_MS, SLIDE_MS, ("region",))}),
    "gold.user_totals_daily": _same("event_date", {_PURCHASES: Window(DAY, DAY, ("user_id",))}),
    "gold.user_totals": _same(None, {_PURCHASES: Key(("user_id",))}),
    "gold.fraud_decisions": MetricScope(
        "event_time",
        affected={_TRANSACTIONS: IntervalAround(0, FRAUD_REACH_MS, ("user_id",))},
        needs={_TRANSACTIONS: IntervalAround(FRAUD_REACH_MS, 0, ("user_id",))},
    ),
    # Drawn from rows of other tables: an engine has the days on which those changed.
    "gold.alerts": _same(None, {_CLICKS: _EVERYTHING, _PURCHASES: _EVERYTHING, _TRANSACTIONS: _EVERYTHING}),
    "marts.product_daily": MetricScope(
        "event_date",
        affected={
            _CLICKS: _PRODUCT_DAY,
            _PURCHASES: _PRODUCT_DAY,
            _PRODUCTS: Version(("product_id",), row_offset_ms=DAY - 1),
        },
        needs={_CLICKS: _PRODUCT_DAY, _PURCHASES: _PRODUCT_DAY, _PRODUCTS: _ALL_VERSIONS},
    ),
    "marts.region_daily": _same("event_date", {_CLICKS: _REGION_DAY, _PURCHASES: _REGION_DAY}),
    # A purchase doesn't tell when the session around it began.
    "marts.session_funnel": _same(None, {_CLICKS: _EVERYTHING, _PURCHASES: _EVERYTHING}),
}
"""Scopes by table."""
