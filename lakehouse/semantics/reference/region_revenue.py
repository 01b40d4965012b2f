"""Revenue by the purchase's region (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.scopes import SLIDE_MS, SLIDING_MS, TUMBLING_MS
from lakehouse.semantics.windows import DAY, floor, utc_date

Row = dict[str, Any]


def _sums(events: Events, size_ms: int, every_ms: int) -> dict[tuple[str, int], list[int]]:
    """Purchases, revenue and fingerprint by (region, window start): windows of `size_ms`, one every `every_ms`."""
    windows: dict[tuple[str, int], list[int]] = {}
    for purchase in events.purchases:
        last = floor(purchase.event_time, every_ms)
        for start in range(last - size_ms + every_ms, last + 1, every_ms):
            row = windows.setdefault((purchase.region, start), [0, 0, 0])
            row[0] += 1
            row[1] += purchase.amount_cents
            row[2] += purchase.record_hash
    return windows


def _windows(events: Events, size_ms: int, every_ms: int) -> Iterator[Row]:
    for (region, start), (purchases, revenue, fingerprint) in _sums(events, size_ms, every_ms).items():
        yield {
            "region": region,
            "window_start": start,
            "window_end": start + size_ms,
            "purchases": purchases,
            "revenue_cents": money_sum(revenue),
            "events": purchases,
            "fingerprint": fingerprint,
            "event_date": utc_date(start),
        }


def region_revenue_5m(events: Events) -> Iterator[Row]:
    """One row per region and 5-minute tumbling window: the rollup of the daily table."""
    return _windows(events, TUMBLING_MS, TUMBLING_MS)


def region_revenue_sliding_10m(events: Events) -> Iterator[Row]:
    """One row per region and 10-minute window, one starting every minute; an event counts in ten of them."""
    return _windows(events, SLIDING_MS, SLIDE_MS)


def region_revenue_daily(events: Events) -> Iterator[Row]:
    """One row per region and UTC date."""
    for (region, start), (purchases, revenue, fingerprint) in _sums(events, DAY, DAY).items():
        yield {
            "region": region,
            "purchases": purchases,
            "revenue_cents": money_sum(revenue),
            "events": purchases,
            "fingerprint": fingerprint,
            "event_date": utc_date(start),
        }
