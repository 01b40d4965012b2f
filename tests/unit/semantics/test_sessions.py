import pytest

from lakehouse.semantics import Events
from lakehouse.semantics.metrics.sessions.reference import current_sessions, merges
from tests.strategies import at, click


def test_the_current_session_is_the_one_with_the_latest_first_event() -> None:
    rows = list(current_sessions(Events.of([click("ana", "12:00"), click("ana", "10:00"), click("bo", "09:00")])))
    assert sorted((r["user_id"], r["session_start"]) for r in rows) == [("ana", at("12:00")), ("bo", at("09:00"))]


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        (["10:00", "10:40", "10:20"], 1),
        (["10:00", "10:20", "10:40"], 0),
        (["10:40", "10:00", "10:20", "11:30", "11:05"], 2),
        (["10:00", "10:40", "10:05"], 0),
        (["10:00", "11:00", "10:30"], 0),  # exactly at the gap of both
    ],
)
def test_merges_are_counted_in_arrival_order(arrivals: list[str], expected: int) -> None:
    assert merges(click("ana", clock) for clock in arrivals) == expected
