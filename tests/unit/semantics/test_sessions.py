from typing import Any

import pytest

from lakehouse.semantics import Click, Events
from lakehouse.semantics.reference.sessions import current_sessions, merges, session_parts, sessions
from tests.strategies import at, click, impression


def spans(*clicks: Click) -> list[tuple[str, int, int]]:
    return sorted((r["user_id"], r["session_start"], r["session_end"]) for r in sessions(Events.of(clicks)))


def one(*clicks: Click) -> dict[str, Any]:
    (row,) = sessions(Events.of(clicks))
    return row


def test_within_gap_extends() -> None:
    assert spans(click("ana", "10:00"), click("ana", "10:29:59.999")) == [("ana", at("10:00"), at("10:29:59.999"))]


def test_exact_gap_begins_a_new_session() -> None:
    assert spans(click("ana", "10:00"), click("ana", "10:30")) == [
        ("ana", at("10:00"), at("10:00")),
        ("ana", at("10:30"), at("10:30")),
    ]


def test_past_gap_begins_a_new_session() -> None:
    assert len(spans(click("ana", "10:00"), click("ana", "10:30:00.001"))) == 2


def test_users_have_their_own_sessions() -> None:
    assert len(spans(click("ana", "10:00"), click("bo", "10:01"))) == 2


def test_a_late_event_bridges_two_sessions_into_one() -> None:
    apart = click("ana", "10:00"), click("ana", "10:40")
    assert len(spans(*apart)) == 2
    assert spans(*apart, click("ana", "10:20")) == [("ana", at("10:00"), at("10:40"))]


def test_both_actions_and_pages_without_a_product_belong() -> None:
    row = one(impression("ana", "10:00"), click("ana", "10:01", None), impression("ana", "10:02", "pan"))
    assert (row["impressions"], row["clicks"], row["events"], row["duration_ms"]) == (2, 1, 3, 120_000)


def test_a_session_over_midnight_has_its_first_days_date() -> None:
    assert str(one(click("ana", "23:50"), click("ana", "24:10"))["event_date"]) == "2024-03-01"


@pytest.mark.parametrize(("events", "anomalous"), [(1000, False), (1001, True)])
def test_more_than_1000_events_are_anomalous(events: int, anomalous: bool) -> None:
    assert one(*(click("ana", at("10:00") + i) for i in range(events)))["anomalous"] is anomalous


@pytest.mark.parametrize(("last", "anomalous"), [("14:00", False), ("14:00:00.001", True)])
def test_more_than_4_hours_are_anomalous(last: str, anomalous: bool) -> None:
    steps = [click("ana", at("10:00") + 20 * 60_000 * i) for i in range(12)]
    assert one(*steps, click("ana", last))["anomalous"] is anomalous


def test_parts_are_cut_every_4_hours_from_the_first_event() -> None:
    clicks = [click("ana", at("10:10") + 25 * 60_000 * i) for i in range(11)]  # 10:10 to 14:20
    exact = click("ana", "14:10")
    parts = [
        (r["part"], r["part_start"], r["part_end"], r["events"]) for r in session_parts(Events.of([*clicks, exact]))
    ]
    assert parts == [(0, at("10:10"), at("13:55"), 10), (1, at("14:10"), at("14:20"), 2)]


def test_a_short_session_has_part_0() -> None:
    assert [r["part"] for r in session_parts(Events.of([click("ana", "10:00")]))] == [0]


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
