"""Purchases per user (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]


def _totals(events: Events, daily: bool) -> dict[tuple[str, date | None], Row]:
    totals: dict[tuple[str, date | None], Row] = {}
    for purchase in events.purchases:
        t = purchase.event_time
        key = (purchase.user_id, utc_date(t) if daily else None)
        row = totals.get(key)
        if row is None:
            row = totals[key] = {
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
    for row in totals.values():
        row["revenue_cents"] = money_sum(row["revenue_cents"])
    return totals


def user_totals(events: Events) -> Iterator[Row]:
    """One row per user: count, revenue, first and last event time of all purchases."""
    yield from _totals(events, daily=False).values()


def user_totals_daily(events: Events) -> Iterator[Row]:
    """The same per user and UTC date: the rollup of `user_totals`."""
    for (_, day), row in _totals(events, daily=True).items():
        yield row | {"event_date": day}
