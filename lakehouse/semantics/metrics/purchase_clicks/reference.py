"""Which click a purchase is attributed to (docs/semantics.md, Purchases and clicks)."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Click, Events
from lakehouse.semantics.metrics.purchase_clicks.spec import RULE
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """One row per purchase, with the user's latest click on the same product with t - 5 min <= click <= t.

    Latest by (event_time, event_id). Without one the purchase stays, unattributed. `events` is 2 with the
    click, 1 without, and `fingerprint` their sum.
    """
    bought = {(p.user_id, p.product_id) for p in events.purchases}
    clicks: dict[tuple[str, str | None], list[tuple[int, str, Click]]] = {}
    for click in events.clicks:
        pair = (click.user_id, click.product_id)
        if click.action == "click" and pair in bought:
            clicks.setdefault(pair, []).append((click.event_time, click.event_id, click))
    # Python orders strings by code point, which is the order of their UTF-8 bytes.
    for candidates in clicks.values():
        candidates.sort(key=lambda c: c[:2])
    for purchase in events.purchases:
        t = purchase.event_time
        candidates = clicks.get((purchase.user_id, purchase.product_id), [])
        latest = bisect_right(candidates, t, key=lambda c: c[0]) - 1
        last = candidates[latest][2] if latest >= 0 and candidates[latest][0] >= t - RULE.reach_ms else None
        yield {
            "event_id": purchase.event_id,
            "event_time": t,
            "user_id": purchase.user_id,
            "product_id": purchase.product_id,
            "quantity": purchase.quantity,
            "amount_cents": purchase.amount_cents,
            "region": purchase.region,
            "click_event_id": last.event_id if last else None,
            "click_event_time": last.event_time if last else None,
            "events": 2 if last else 1,
            "fingerprint": purchase.record_hash + (last.record_hash if last else 0),
            "event_date": utc_date(t),
        }
