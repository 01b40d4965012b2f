"""Purchases per user (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]


def totals(events: Events, daily: bool) -> dict[tuple[str, date | None], Row]:
    """By user, and by day where `daily`."""
    found: dict[tuple[str, date | None], Row] = {}
    for purchase in events.purchases:
        t = purchase.event_time
        key = (purchase.user_id, utc_date(t) if daily else None)
        row = found.get(key)
        if row is None:
            row = found[key] = {
                "user_id": purchase.user_id,
                "purchases": 0,
                "revenue_cents": 0,
                "first_purchase": t,
                "last_purchase": t,
                "events": 0,
                "fingerprint": 0,
            }
        row["purchases"] += 1
        row["revenue_cents"] += purchase.amount_cents
        row["first_purchase"] = min(row["first_purchase"], t)
        row["last_purchase"] = max(row["last_purchase"], t)
        row["events"] += 1
        row["fingerprint"] += purchase.record_hash
    for row in found.values():
        row["revenue_cents"] = money_sum(row["revenue_cents"])
    return found


def compute(events: Events) -> Iterator[Row]:
    """One row per user: count, revenue, first and last event time of all purchases."""
    yield from totals(events, daily=False).values()
