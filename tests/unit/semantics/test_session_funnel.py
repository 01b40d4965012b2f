"""The funnel of sessions: what is inside one, and on which day it counts."""

import pytest

from lakehouse.semantics import Event, Events
from lakehouse.semantics.reference import METRICS, Row
from tests.strategies import at, click, impression, purchase


def funnel(*events: Event) -> list[Row]:
    return sorted(METRICS["marts.session_funnel"].compute(Events.of(events)), key=lambda row: row["event_date"])


def counts(*events: Event) -> list[tuple[str, int, int, int, int]]:
    names = ("sessions", "sessions_with_click", "sessions_with_purchase", "revenue_cents")
    return [(str(row["event_date"]), *(row[name] for name in names)) for row in funnel(*events)]


def test_a_day_without_sessions_has_no_row() -> None:
    assert counts(purchase("ana", "10:00")) == []


def test_sessions_with_and_without_a_click() -> None:
    assert counts(impression("ana", "10:00"), impression("bo", "10:00"), click("bo", "10:10")) == [
        ("2024-03-01", 2, 1, 0, 0)
    ]


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        (at("10:00") - 1, 0),
        (at("10:00"), 1),
        (at("10:20"), 1),
        (at("10:20") + 1, 0),
    ],
    ids=["before_the_first_event", "at_the_first_event", "at_the_last_event", "past_the_last_event"],
)
def test_a_purchase_is_inside_from_the_first_event_to_the_last(when: int, inside: int) -> None:
    found = counts(impression("ana", "10:00"), impression("ana", "10:20"), purchase("ana", when))
    assert found == [("2024-03-01", 1, 0, inside, 500 * inside)]


def test_a_purchase_of_somebody_else_is_not_inside() -> None:
    assert counts(click("ana", "10:00"), click("ana", "10:20"), purchase("bo", "10:10")) == [("2024-03-01", 1, 1, 0, 0)]


def test_several_purchases_of_a_session_count_it_once_and_their_revenue_all() -> None:
    bought = (
        purchase("ana", "10:05", cents=100),
        purchase("ana", "10:05", cents=20),
        purchase("ana", "10:10", cents=3),
    )
    assert counts(click("ana", "10:00"), click("ana", "10:20"), *bought) == [("2024-03-01", 1, 1, 1, 123)]


def test_a_purchase_between_two_sessions_is_in_neither() -> None:
    assert counts(click("ana", "10:00"), purchase("ana", "10:10"), click("ana", "10:30")) == [
        ("2024-03-01", 2, 2, 0, 0)
    ]


def test_a_session_past_midnight_counts_with_its_purchases_on_the_day_it_began() -> None:
    session = (impression("ana", "23:50"), click("ana", "24:10"), click("ana", "24:30"))
    assert counts(*session, purchase("ana", "24:20"), click("bo", "24:40")) == [
        ("2024-03-01", 1, 1, 1, 500),
        ("2024-03-02", 1, 1, 0, 0),
    ]


def test_a_row_is_made_of_the_sessions_events_and_the_purchases_inside() -> None:
    inside = (click("ana", "23:50"), click("ana", "24:10"), purchase("ana", "24:00"))
    (row,) = funnel(*inside, purchase("ana", "24:11"))
    assert (row["events"], row["fingerprint"]) == (3, sum(event.record_hash for event in inside))
