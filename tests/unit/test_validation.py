"""The Python validator, held to the hand-written verdicts."""

from collections import Counter

import pytest

from lakehouse.contracts.conformance import Case, cases
from lakehouse.contracts.events import EVENTS, Kind
from lakehouse.contracts.validation import Invalid, Reason, UnknownTopicError, Valid, validate

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=[f"{n}: {case.why}" for n, case in enumerate(CASES, 1)])
def test_verdict_is_the_one_written_by_hand(case: Case) -> None:
    assert validate(case.topic, case.key, case.value, case.arrival_ms) == case.verdict


def test_conformance_holds_every_reason_topic_and_field() -> None:
    reasons = Counter(c.verdict.reason for c in CASES if isinstance(c.verdict, Invalid))
    assert len(CASES) >= 150
    assert set(reasons) == set(Reason)
    assert min(reasons.values()) >= 3
    assert {c.topic for c in CASES if isinstance(c.verdict, Valid)} == set(EVENTS)
    missing = {(c.topic, c.verdict.field) for c in CASES if c.verdict == Invalid(Reason.MISSING, _field(c))}
    required = {(t, f.name) for t, e in EVENTS.items() for f in e.fields if not f.nullable}
    identity = {(t, n) for t in EVENTS for n in ("event_id", "event_time", "user_id")}
    assert required - missing <= identity
    refused = {
        (field.kind, c.verdict.reason)
        for c in CASES
        for field in EVENTS[c.topic].fields
        if isinstance(c.verdict, Invalid) and c.verdict.field == field.name
    }
    assert {(kind, reason) for kind in Kind for reason in (Reason.WRONG_TYPE, Reason.OUT_OF_RANGE)} <= refused


def _field(case: Case) -> str | None:
    return case.verdict.field if isinstance(case.verdict, Invalid) else None


def test_valid_fields_keep_the_contracts_order() -> None:
    value = (
        b'{"region":"n","page":"/","action":"click","user_id":"u","event_time":"2026-07-01T10:00:00Z","event_id":"e"}'
    )
    verdict = validate("shop.clicks", b"u", value, 1_800_000_000_000)
    assert isinstance(verdict, Valid)
    assert list(verdict.fields) == [field.name for field in EVENTS["shop.clicks"].fields]


def test_unknown_topic_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTopicError, match=r"unknown topic 'shop.click'; known topics: shop.clicks, "):
        validate("shop.click", None, None, 0)


def test_hostile_text_costs_linear_time() -> None:
    # Quadratic scanning would take minutes for each of these, and the test's time limit would end it.
    for hostile in (b'\\"' * 32_768, b'"\\' * 32_768, b"[" * 65_536, b'{"a":' * 13_107, b'["' * 32_768):
        assert validate("shop.clicks", b"u", hostile, 0) == Invalid(Reason.NOT_JSON)
