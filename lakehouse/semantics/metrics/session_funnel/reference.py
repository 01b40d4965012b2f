"""A day's sessions (docs/semantics.md, Marts)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date
from operator import attrgetter
from typing import Any

from lakehouse.semantics.events import Events, Purchase
from lakehouse.semantics.metrics.sessions.reference import by_user, split
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]

_TIME = attrgetter("event_time")


def compute(events: Events) -> Iterator[Row]:
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
