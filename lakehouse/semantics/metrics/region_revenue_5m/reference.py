"""Revenue by the purchase's region (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.region_revenue_5m.spec import RULE
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.rules import WindowRule
from lakehouse.semantics.windows import floor, utc_date

Row = dict[str, Any]


def sums(events: Events, size_ms: int, every_ms: int) -> dict[tuple[str, int], list[int]]:
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


def windows(events: Events, rule: WindowRule) -> Iterator[Row]:
    """One row per region and window that holds a purchase."""
    for (region, start), (purchases, revenue, fingerprint) in sums(events, rule.size_ms, rule.every_ms).items():
        yield {
            "region": region,
            "window_start": start,
            "window_end": start + rule.size_ms,
            "purchases": purchases,
            "revenue_cents": money_sum(revenue),
            "events": purchases,
            "fingerprint": fingerprint,
            "event_date": utc_date(start),
        }


def compute(events: Events) -> Iterator[Row]:
    """One row per region and 5-minute tumbling window: the rollup of the daily table."""
    return windows(events, RULE)
