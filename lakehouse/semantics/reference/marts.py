"""Daily marts (docs/semantics.md, Marts)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date
from operator import attrgetter
from typing import Any

from lakehouse.semantics.events import Events, Purchase
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.reference.product_metrics import ctr, measure
from lakehouse.semantics.reference.sessions import by_user, split
from lakehouse.semantics.reference.versions import Catalog
from lakehouse.semantics.windows import DAY, floor, utc_date

Row = dict[str, Any]

_TIME = attrgetter("event_time")


def product_daily(events: Events) -> Iterator[Row]:
    """Per product and UTC day the sums of `product_metrics_5m`.

    Category and brand are of the version valid at the day's end: in its last millisecond, as days are half-open.
    """
    catalog = Catalog(events.products)
    for (product_id, start), (impressions, clicks, conversions, revenue, fingerprint) in measure(events, DAY).items():
        version = catalog.at(product_id, start + DAY - 1)
        yield {
            "event_date": utc_date(start),
            "product_id": product_id,
            "impressions": impressions,
            "clicks": clicks,
            "conversions": conversions,
            "revenue_cents": money_sum(revenue),
            "ctr": ctr(impressions, clicks),
            "category": version.category if version else None,
            "brand": version.brand if version else None,
            "events": impressions + clicks + conversions,
            "fingerprint": fingerprint,
        }


def region_daily(events: Events) -> Iterator[Row]:
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


def session_funnel(events: Events) -> Iterator[Row]:
    """Per UTC day the sessions whose first event lies on it, those with a click, those with a purchase inside, and
    the revenue of these purchases.

    A purchase is inside a session of its user if it lies between the session's first and last event, both included;
    it counts on the session's day, be it made after midnight. Sessions of a user don't overlap: it is inside one at
    most.
    """
    bought: dict[str, list[Purchase]] = {}
    for purchase in sorted(events.purchases, key=_TIME):
        bought.setdefault(purchase.user_id, []).append(purchase)
    sums: dict[date, list[int]] = {}
    for user, ordered in by_user(events.clicks).items():
        purchases = bought.get(user, [])
        for session in split(ordered):
            start, end = session[0].event_time, session[-1].event_time
            inside = purchases[bisect_left(purchases, start, key=_TIME) : bisect_right(purchases, end, key=_TIME)]
            row = sums.setdefault(utc_date(start), [0] * 6)
            row[0] += 1
            row[1] += any(click.action == "click" for click in session)
            row[2] += bool(inside)
            row[3] += sum(purchase.amount_cents for purchase in inside)
            row[4] += len(session) + len(inside)
            row[5] += sum(click.record_hash for click in session) + sum(purchase.record_hash for purchase in inside)
    for day, (sessions, with_click, with_purchase, revenue, count, fingerprint) in sums.items():
        yield {
            "event_date": day,
            "sessions": sessions,
            "sessions_with_click": with_click,
            "sessions_with_purchase": with_purchase,
            "revenue_cents": money_sum(revenue),
            "events": count,
            "fingerprint": fingerprint,
        }
