"""Parts of sessions (docs/semantics.md, Sessions)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Click, Events
from lakehouse.semantics.metrics.session_parts.spec import RULE
from lakehouse.semantics.metrics.sessions.reference import by_user, split
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """Sessions cut every 4 hours from their first event: part = (t - session's first) div 4 h.

    A part's start and end are its first and last event's time. Gaps within a session are under 30 minutes,
    so no part is empty. Parts have their session's date.
    """
    for ordered in by_user(events.clicks).values():
        for session in split(ordered):
            start = session[0].event_time
            parts: dict[int, list[Click]] = {}
            for click in session:
                parts.setdefault((click.event_time - start) // RULE.part_ms, []).append(click)
            for part, clicks in parts.items():
                impressions = sum(click.action == "impression" for click in clicks)
                yield {
                    "user_id": clicks[0].user_id,
                    "session_start": start,
                    "part": part,
                    "part_start": clicks[0].event_time,
                    "part_end": clicks[-1].event_time,
                    "impressions": impressions,
                    "clicks": len(clicks) - impressions,
                    "events": len(clicks),
                    "fingerprint": sum(click.record_hash for click in clicks),
                    "event_date": utc_date(start),
                }
