"""What people are told of tables: when an alert opens and is withdrawn, and how it reads."""

import json
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta

import pytest

from lakehouse.alerts import (
    OPENED,
    PARITY_DIFFERS,
    QUALITY_FAILED,
    WITHDRAWN,
    State,
    TableAlert,
    alert_history,
    pagerduty_event,
    parse_alert,
    slack_message,
)
from lakehouse.parity.check import Checked
from lakehouse.parity.results import Difference
from lakehouse.parity.sample import turns

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE = AT - timedelta(minutes=5)
GOLD = "gold.user_totals"


def turn(state: State = OPENED, since: datetime = AT, day: date | None = None) -> TableAlert:
    return TableAlert.turn(QUALITY_FAILED, GOLD, since, state, "clicks is at least 0 <3>", day)


def test_an_alert_goes_through_the_topic_unchanged() -> None:
    alert = turn(day=AT.date())
    message = json.dumps(asdict(alert)).encode()
    assert parse_alert(message) == alert
    assert alert_history([alert]).open == [], "no alert of a click-through rate"


def test_the_same_turn_has_the_same_key_and_another_has_another() -> None:
    assert turn().notice == turn().notice
    others = [turn(), turn(WITHDRAWN), turn(since=BEFORE), turn(day=AT.date())]
    assert len({each.notice for each in others}) == len(others)


def test_slack_and_pagerduty_hear_what_and_when() -> None:
    assert slack_message(turn())["text"] == (
        ":rotating_light: gold.user_totals is not as expected: clicks is at least 0 &lt;3&gt;"
    )
    assert "gold.user_totals, 2026-03-01 is as expected again" in slack_message(turn(WITHDRAWN, day=AT.date()))["text"]
    opened, withdrawn = (pagerduty_event(turn(state), "key") for state in (OPENED, WITHDRAWN))
    assert opened["payload"]["timestamp"] == AT.isoformat()
    assert (opened["event_action"], withdrawn["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == withdrawn["dedup_key"]


def checked(row: str, *columns: str) -> Checked:
    return Checked(GOLD, 7, {"user_id": row}, {}, None, columns, ())


def test_a_table_that_differs_is_told_with_a_row() -> None:
    (told,) = turns([], [checked("ana"), checked("bo", "purchases")], AT)
    assert (told.rule, told.state, told.table) == (PARITY_DIFFERS, OPENED, GOLD)
    assert told.says == "1 of its rows, for example bo in purchases"


def test_as_long_as_it_differs_the_turn_stays_the_same() -> None:
    (first,) = turns([], [checked("bo", "purchases")], BEFORE)
    known = [Difference(GOLD, "bo", BEFORE)]
    (again,) = turns(known, [checked("bo", "purchases"), checked("eva", "events")], AT)
    (unseen,) = turns(known, [checked("ana")], AT)
    assert first.notice == again.notice == unseen.notice


@pytest.mark.parametrize(("still", "state"), [(("events",), OPENED), ((), WITHDRAWN)])
def test_it_is_withdrawn_when_the_last_row_is_right(still: tuple[str, ...], state: str) -> None:
    known = [Difference(GOLD, "ana", AT), Difference(GOLD, "bo", BEFORE)]
    (told,) = turns(known, [checked("bo"), checked("ana", *still)], AT)
    assert (told.state, told.since) == (state, turn(since=BEFORE).since)


def test_of_tables_that_are_right_nothing_is_told() -> None:
    assert turns([], [checked("ana")], AT) == []
