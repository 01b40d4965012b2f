"""Product metrics per window (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.product_metrics_5m.spec import RULE
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.windows import floor, utc_date

Row = dict[str, Any]

_IMPRESSIONS, _CLICKS, _CONVERSIONS, _REVENUE, _FINGERPRINT = range(5)


def measure(events: Events, size_ms: int) -> dict[tuple[str, int], list[int]]:
    """Impressions, clicks, conversions, revenue and fingerprint by (product, window start).

    Conversions are purchases with event time in the window, attributed or not; clicks without a product are
    left out. A window exists if and only if it has at least one event.
    """
    windows: dict[tuple[str, int], list[int]] = {}
    for click in events.clicks:
        if click.product_id is None:
            continue
        window = (click.product_id, floor(click.event_time, size_ms))
        row = windows.get(window)
        if row is None:
            row = windows[window] = [0, 0, 0, 0, 0]
        row[_IMPRESSIONS if click.action == "impression" else _CLICKS] += 1
        row[_FINGERPRINT] += click.record_hash
    for purchase in events.purchases:
        row = windows.setdefault((purchase.product_id, floor(purchase.event_time, size_ms)), [0, 0, 0, 0, 0])
        row[_CONVERSIONS] += 1
        row[_REVENUE] += purchase.amount_cents
        row[_FINGERPRINT] += purchase.record_hash
    return windows


def ctr(impressions: int, clicks: int) -> float | None:
    """double(clicks) / double(impressions), null at 0 impressions."""
    return float(clicks) / float(impressions) if impressions else None


def compute(events: Events) -> Iterator[Row]:
    """One row per product and 5-minute tumbling window."""
    for (product_id, start), (impressions, clicks, conversions, revenue, fingerprint) in measure(
        events, RULE.size_ms
    ).items():
        yield {
            "product_id": product_id,
            "window_start": start,
            "window_end": start + RULE.size_ms,
            "impressions": impressions,
            "clicks": clicks,
            "conversions": conversions,
            "revenue_cents": money_sum(revenue),
            "ctr": ctr(impressions, clicks),
            "events": impressions + clicks + conversions,
            "fingerprint": fingerprint,
            "event_date": utc_date(start),
        }
