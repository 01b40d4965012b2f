"""What is read from ``shop.alerts``, where anybody may write: an alert that every receiver can render, or why none."""

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.alerts import (
    FRAUD_FLAGGED,
    OPENED,
    QUALITY_FAILED,
    Alert,
    CtrAlert,
    FraudAlert,
    TableAlert,
    pagerduty_event,
    parse_alert,
    slack_message,
)
from lakehouse.contracts.events import MAX_ID_BYTES
from lakehouse.contracts.messages import MessageError

START = 1_772_323_200_000
CTR = CtrAlert("ctr_anomaly", "mug", START, START + 300_000, OPENED, 20, 15, 35, "b09/2")
FRAUD = FraudAlert(FRAUD_FLAGGED, "ana", START, START + 3_600_000, OPENED, "t1", START + 9, 500, 6, 6, "b09/1")
TABLE = TableAlert.turn(QUALITY_FAILED, "gold.user_totals", datetime(2026, 3, 1, tzinfo=UTC), OPENED, "3 rows")


def encoded(alert: Alert, **changed: Any) -> bytes:
    return json.dumps(asdict(alert) | changed).encode()


def render(alert: Alert) -> str:
    """As the receivers get it, and as the log and Redis do."""
    sent = json.dumps([slack_message(alert), pagerduty_event(alert, "key")], ensure_ascii=False, allow_nan=False)
    return f"{sent} {alert.notice} {alert.dedup_key}".encode().decode()


@pytest.mark.parametrize("alert", [CTR, FRAUD, TABLE], ids=lambda alert: alert.rule)
def test_what_our_jobs_send_is_an_alert(alert: Alert) -> None:
    assert parse_alert(encoded(alert)) == alert
    assert parse_alert(encoded(alert, added="by a later version")) == alert


def test_ids_as_long_as_events_may_have_them_make_an_alert() -> None:
    user, event = "ü" * (MAX_ID_BYTES // 2), "e" * MAX_ID_BYTES
    key = f"{FRAUD_FLAGGED}/{START}/{user}/opened/{START}/{event}"
    assert parse_alert(encoded(FRAUD, user_id=user, event_id=event, dedup_key=key)).dedup_key == key


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (None, "EOF"),
        (b"no JSON", "Invalid JSON"),
        (b"\xff{", "Invalid JSON"),
        (b"[" * 100_000, "recursion limit"),
        (b"[]", "an object"),
        (b'{"rule": "unheard-of"}', "'unheard-of' found using 'rule'"),
        (b'{"rule": ["ctr_anomaly"]}', "found using 'rule'"),
        (encoded(CTR, window_start="2026-03-01T00:00:00Z"), "window_start: Input should be a valid integer"),
        (encoded(FRAUD, window_end=START * 1_000_000), "window_end: Input should be less than or equal"),
        (encoded(CTR, window_start=-1), "window_start: Input should be greater than or equal"),
        (encoded(CTR, window_start=float(START)), "window_start: Input should be a valid integer"),
        (encoded(CTR, events=True), "events: Input should be a valid integer"),
        (encoded(CTR, events=1 << 63), "events: Input should be less than"),
        (encoded(CTR, clicks=None), "clicks: Input should be a valid integer"),
        (encoded(CTR, state="ajar"), "state: Input should be 'opened' or 'withdrawn'"),
        (encoded(CTR, product_id={"$": 1}), "product_id: Input should be a valid string"),
        (encoded(CTR, product_id=""), "product_id: String should have at least"),
        (encoded(CTR, product_id="mug\n2026-03-01 00:00 ERROR all is lost"), "product_id: String should match"),
        (encoded(CTR, product_id="\ud800"), "Invalid JSON"),
        (encoded(TABLE, day="tomorrow"), "day: String should match"),
        (encoded(TABLE, says="a" * 2_000_000), "says: String should have at most"),
    ],
)
def test_what_is_no_alert_says_in_a_line_why(message: bytes | None, why: str) -> None:
    with pytest.raises(MessageError) as refused:
        parse_alert(message)
    said = str(refused.value)
    assert said.startswith("not an alert: ")
    assert why in said
    assert said.isprintable()
    assert len(said) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(alert=st.sampled_from([CTR, FRAUD, TABLE]), value=JSON, data=st.data())
def test_whatever_stands_in_a_field_it_is_refused_or_rendered(alert: Alert, value: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(asdict(alert))))
    with suppress(MessageError):
        assert render(parse_alert(encoded(alert, **{name: value})))


def test_every_kind_of_alert_was_tried() -> None:
    assert {CtrAlert, FraudAlert, TableAlert} == set(get_args(Alert))


def test_a_row_s_key_that_has_control_characters_is_told_in_a_line() -> None:
    told = TableAlert.turn(QUALITY_FAILED, "gold.t", datetime(2026, 3, 1, tzinfo=UTC), OPENED, "for example 'a\x00\nb'")
    assert told.says == "for example 'a  b'"
    assert parse_alert(encoded(told)) == told
