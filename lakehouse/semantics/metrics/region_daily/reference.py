"""A region's day (docs/semantics.md, Marts)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.windows import DAY, floor, utc_date

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """Per region and UTC day: purchases, revenue, clicks, impressions, and the users of any of them.

    Clicks without a product count here too.
    """
    sums: dict[tuple[str, int], list[int]] = {}
    users: dict[tuple[str, int], set[str]] = {}
    for click in events.clicks:
        key = (click.region, floor(click.event_time, DAY))
        row = sums.get(key)
        if row is None:
            row = sums[key] = [0, 0, 0, 0, 0]
            users[key] = set()
        row[3 if click.action == "impression" else 2] += 1
        row[4] += click.record_hash
        users[key].add(click.user_id)
    for purchase in events.purchases:
        key = (purchase.region, floor(purchase.event_time, DAY))
        row = sums.setdefault(key, [0, 0, 0, 0, 0])
        row[0] += 1
        row[1] += purchase.amount_cents
        row[4] += purchase.record_hash
        users.setdefault(key, set()).add(purchase.user_id)
    for (region, start), (purchases, revenue, clicks, impressions, fingerprint) in sums.items():
        yield {
            "event_date": utc_date(start),
            "region": region,
            "purchases": purchases,
            "revenue_cents": money_sum(revenue),
            "clicks": clicks,
            "impressions": impressions,
            "distinct_users": len(users[region, start]),
            "events": purchases + clicks + impressions,
            "fingerprint": fingerprint,
        }
