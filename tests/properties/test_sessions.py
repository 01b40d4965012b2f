"""Sessions don't depend on when an event arrives, only on the gaps between events."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.semantics import Click, Events
from lakehouse.semantics.metrics.session_parts.reference import compute as session_parts
from lakehouse.semantics.metrics.sessions.reference import compute as sessions
from lakehouse.semantics.metrics.sessions.reference import merges
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION
from tests.strategies import MORNING, click, clicks, positioned

GAP = SESSION.gap_ms


def spans(events: list[Click]) -> list[tuple[int, int]]:
    return sorted((r["session_start"], r["session_end"]) for r in sessions(Events.of(events)))


@given(apart=st.integers(GAP, 2 * GAP), after=st.integers(0, 2 * GAP))
def test_a_late_event_merges_two_sessions_exactly_when_it_is_within_the_gap_of_both(apart: int, after: int) -> None:
    first, second, late = click("ana", MORNING), click("ana", MORNING + apart), click("ana", MORNING + after)
    bridges = after < GAP and abs(apart - after) < GAP
    assert len(spans([first, second])) == 2
    assert (len(spans([first, second, late])) == 1) is bridges
    assert merges([first, second, late]) == int(bridges)


@given(stream=st.lists(clicks, min_size=1, max_size=30))
def test_sessions_are_the_runs_of_gaps_below_30_minutes(stream: list[Click]) -> None:
    for user in {c.user_id for c in stream}:
        times = sorted(c.event_time for c in stream if c.user_id == user)
        found = spans([c for c in stream if c.user_id == user])
        starts = [times[0], *(later for earlier, later in pairwise(times) if later - earlier >= GAP)]
        ends = [*(earlier for earlier, later in pairwise(times) if later - earlier >= GAP), times[-1]]
        assert found == list(zip(starts, ends, strict=True))


@given(stream=st.lists(clicks, min_size=1, max_size=30))
def test_parts_add_up_to_their_session(stream: list[Click]) -> None:
    events = Events.of(stream)
    parts: dict[tuple[str, int], list[dict[str, int]]] = {}
    for part in session_parts(events):
        parts.setdefault((part["user_id"], part["session_start"]), []).append(part)
    for session in sessions(events):
        of_session = sorted(parts.pop((session["user_id"], session["session_start"])), key=lambda p: p["part"])
        assert of_session[0]["part"] == 0
        assert of_session[0]["part_start"] == session["session_start"]
        assert of_session[-1]["part_end"] == session["session_end"]
        for name in ("events", "clicks", "impressions", "fingerprint"):
            assert sum(p[name] for p in of_session) == session[name]
        for p in of_session:
            assert 0 <= p["part_start"] - session["session_start"] - p["part"] * SESSION.part_ms < SESSION.part_ms
    assert parts == {}


@given(stream=st.lists(clicks, max_size=30))
def test_merges_are_what_remains_between_sessions_begun_and_sessions_there(stream: list[Click]) -> None:
    """Each event that is within the gap of no session begins one; each merge takes one away for each joined."""
    arrived = [c for c in positioned(stream) if isinstance(c, Click)]
    begun = 0
    for n, event in enumerate(arrived):
        known = [s for s in arrived[:n] if s.user_id == event.user_id]
        begun += all(abs(s.event_time - event.event_time) >= GAP for s in known)
    assert begun - merges(arrived) == len(spans_of_all(arrived))


def spans_of_all(events: list[Click]) -> list[tuple[str, int]]:
    return [(r["user_id"], r["session_start"]) for r in sessions(Events.of(events))]
