"""Sessions, their parts and a user's current session (docs/semantics.md, Sessions)."""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

from lakehouse.semantics.events import Click, Events
from lakehouse.semantics.metrics.sessions.spec import RULE
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]

_TIME = attrgetter("event_time")


def by_user(clicks: Iterable[Click]) -> dict[str, list[Click]]:
    """Each user's events, both actions, in event-time order."""
    users: dict[str, list[Click]] = {}
    for click in clicks:
        users.setdefault(click.user_id, []).append(click)
    for events in users.values():
        events.sort(key=_TIME)
    return users


def split(ordered: list[Click]) -> Iterator[list[Click]]:
    """Cuts one user's events where the gap to the previous one is 30 minutes or more."""
    session = [ordered[0]]
    for click in ordered[1:]:
        if click.event_time - session[-1].event_time >= RULE.gap_ms:
            yield session
            session = []
        session.append(click)
    yield session


def _row(session: list[Click]) -> Row:
    start, end = session[0].event_time, session[-1].event_time
    impressions = sum(click.action == "impression" for click in session)
    return {
        "user_id": session[0].user_id,
        "session_start": start,
        "session_end": end,
        "duration_ms": end - start,
        "impressions": impressions,
        "clicks": len(session) - impressions,
        "anomalous": len(session) > RULE.long_events or end - start > RULE.long_ms,
        "events": len(session),
        "fingerprint": sum(click.record_hash for click in session),
        "event_date": utc_date(start),
    }


def compute(events: Events) -> Iterator[Row]:
    """One row per session; start and end are its first and last event's time, its date the first's.

    `anomalous`: more than 1000 events, or more than 4 h from first to last.
    """
    for ordered in by_user(events.clicks).values():
        yield from map(_row, split(ordered))


def current_sessions(events: Events) -> Iterator[Row]:
    """Each user's current session: the one with the latest first event."""
    for ordered in by_user(events.clicks).values():
        *_, last = split(ordered)
        yield _row(last)


def merges(clicks_in_arrival_order: Iterable[Click]) -> int:
    """How often an arriving event joined two sessions that were apart until then.

    A user's events lie in one partition, so (partition, offset) order is arrival order for each user.
    """
    merged = 0
    sessions_of: dict[str, list[list[int]]] = {}
    for click in clicks_in_arrival_order:
        t = click.event_time
        known = sessions_of.setdefault(click.user_id, [])
        if known and t >= known[-1][0]:
            # Most events come in order: only the last session can be meant.
            if t - known[-1][1] < RULE.gap_ms:
                known[-1][1] = max(known[-1][1], t)
            else:
                known.append([t, t])
            continue
        touched = [s for s in known if s[0] - t < RULE.gap_ms and t - s[1] < RULE.gap_ms]
        for session in touched:
            known.remove(session)
        merged += max(0, len(touched) - 1)
        known.append([min([t, *(s[0] for s in touched)]), max([t, *(s[1] for s in touched)])])
        known.sort()
    return merged
