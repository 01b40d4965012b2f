"""Suites: right rows pass every rule, and each kind of broken row is found by the rule that is about it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

from lakehouse.contracts.events import MAX_CENTS
from lakehouse.contracts.tables import checked_tables, table
from lakehouse.semantics import Event, Events
from lakehouse.semantics.log import assemble
from lakehouse.semantics.windows import HOUR, MINUTE
from quality.by_hand import BY_HAND
from quality.counting import rules_of
from quality.rules import Severity
from tests.lake import expected
from tests.strategies import at, click, event_streams, impression, product, profile, purchase, transaction

SHOP = Events.of(
    [
        product("mug", "00:00", "kitchen"),
        product("mug", "12:00", "garden"),
        profile("ana", "00:00"),
        profile("ana", "13:00", "regular"),
        impression("ana", "10:00"),
        click("ana", "10:01"),
        click("ana", "10:02", None),
        purchase("ana", "10:03"),
        purchase("bo", "13:00", "pan"),
        *(click("bo", at("08:00") + n * 20 * MINUTE) for n in range(15)),
        transaction("bo", "08:00"),
        *(transaction("ana", at("10:00") + n) for n in range(11)),
    ]
)


def broken(name: str, rows: pl.DataFrame) -> set[str]:
    """The rules that `rows` break."""
    return {rule.says for rule in rules_of(table(name)) if rule.broken(rows.lazy()).collect().height}


@pytest.mark.parametrize("name", checked_tables())
def test_right_rows_keep_every_rule(name):
    rows = expected(name, SHOP)
    assert rows.height
    assert broken(name, rows) == set()


@settings(max_examples=50)
@given(event_streams())
def test_no_stream_of_events_makes_right_rows_break_a_rule(stream: list[Event]):
    """But the bound of amounts: some of these lie beyond it, as an earlier rule of validity let them."""
    events = assemble(stream).events
    for name in checked_tables():
        rows = expected(name, events)
        warned = {rule.says for rule in rules_of(table(name)) if rule.severity is Severity.WARNING}
        assert broken(name, rows) <= warned | {f"amount_cents is at most {MAX_CENTS}"}


@pytest.mark.parametrize("name", checked_tables())
def test_no_two_rules_of_a_table_say_the_same(name):
    said = [rule.says for rule in rules_of(table(name))]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("name", checked_tables())
def test_a_null_is_found_in_every_column_that_must_not_have_one(name):
    rows = expected(name, SHOP)
    for column in table(name).columns:
        emptied = rows.with_columns(pl.lit(None, rows.schema[column.name]).alias(column.name))
        assert (f"{column.name} is not null" in broken(name, emptied)) == (not column.nullable)


@pytest.mark.parametrize("name", checked_tables())
def test_a_repeated_key_is_found(name):
    rows = expected(name, SHOP)
    assert f"key ({', '.join(table(name).key)}) is unique" in broken(name, pl.concat([rows, rows.head(1)]))


NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=9)

BREAKS: list[tuple[str, dict[str, Any], str]] = [
    ("silver.clicks", {"action": "stare"}, "action is one of: impression, click"),
    ("silver.clicks", {"user_id": ""}, "user_id has 1 to 256 bytes"),
    ("silver.clicks", {"user_id": "ü" * 129}, "user_id has 1 to 256 bytes"),
    ("silver.clicks", {"event_date": date(2024, 3, 2)}, "event_date is the UTC day of event_time"),
    (
        "silver.clicks",
        {"event_time": datetime(1999, 1, 1, tzinfo=UTC)},
        "event_time is not before 2000-01-01T00:00:00Z",
    ),
    ("silver.clicks", {"arrival": datetime(2024, 1, 1, tzinfo=UTC)}, "event_time is at most 5 min after arrival"),
    ("silver.clicks", {"arrival": LATER + timedelta(microseconds=1)}, "arrival has whole milliseconds"),
    ("silver.clicks", {"topic": "shop.purchases"}, "topic is shop.clicks"),
    ("silver.clicks", {"partition": 6}, "partition is below 6"),
    ("silver.clicks", {"offset": -1}, "offset is at least 0"),
    ("silver.clicks", {"record_hash": 1 << 60}, "record_hash has 60 bits"),
    ("silver.clicks", {"product_valid_from": LATER}, "the product version began by the event's time"),
    ("silver.clicks", {"product_id": None}, "a page without a product has no product version"),
    ("silver.purchases", {"quantity": 0}, "quantity is at least 1"),
    ("silver.purchases", {"amount_cents": -1}, "amount_cents is at least 0"),
    ("silver.purchases", {"amount_cents": MAX_CENTS + 1}, "amount_cents is at most 100000000000"),
    ("silver.transactions", {"amount_cents": MAX_CENTS + 1}, "amount_cents is at most 100000000000"),
    ("silver.products", {"price_cents": MAX_CENTS + 1}, "price_cents is at most 100000000000"),
    ("silver.purchases", {"currency": "eur"}, "currency is one of: EUR"),
    (
        "silver.purchases",
        {"product_valid_from": NOON, "brand": None},
        "category, brand, price_cents and product_valid_from are known together",
    ),
    ("silver.products", {"valid_to": NOON - timedelta(days=9)}, "a version ends after it begins"),
    ("silver.products", {"valid_to": None}, "a version ends where the next one begins, and only the last is open"),
    ("silver.profiles", {"valid_to": LATER}, "a version ends where the next one begins, and only the last is open"),
    ("silver.sessions", {"duration_ms": 1}, "duration_ms lies between first and last event"),
    ("silver.sessions", {"events": 1001}, "anomalous: over 1000 events or 4 h"),
    ("silver.sessions", {"duration_ms": 4 * HOUR + 1, "anomalous": False}, "anomalous: over 1000 events or 4 h"),
    ("silver.sessions", {"clicks": 99}, "events counts impressions and clicks"),
    ("silver.sessions", {"events": 0}, "events is at least 1"),
    ("silver.session_parts", {"part_end": NOON - timedelta(days=1)}, "a part's first event is not after its last"),
    ("silver.session_parts", {"part": 5}, "a part lies in its 4 h of the session"),
    (
        "silver.purchase_clicks",
        {"click_event_id": "x", "click_event_time": None},
        "the click's id and time are known together",
    ),
    ("silver.purchase_clicks", {"click_event_time": LATER}, "the click came within 5 min before the purchase"),
    ("silver.purchase_clicks", {"events": 3}, "events counts the purchase and its click"),
    ("gold.product_metrics_5m", {"window_end": LATER}, "the window is 5 min long"),
    ("gold.product_metrics_5m", {"window_start": NOON + timedelta(minutes=1)}, "window_start is a multiple of 5 min"),
    ("gold.product_metrics_5m", {"ctr": 0.123}, "ctr is clicks / impressions, null without impressions"),
    (
        "gold.product_metrics_5m",
        {"impressions": 0, "ctr": 1.0},
        "ctr is clicks / impressions, null without impressions",
    ),
    ("gold.product_metrics_5m", {"conversions": 0, "revenue_cents": 1}, "no revenue without a conversion"),
    ("gold.product_metrics_5m", {"events": 99}, "events counts impressions, clicks and conversions"),
    ("gold.product_metrics_5m", {"fingerprint": -1}, "fingerprint is a sum of so many 60-bit hashes"),
    ("gold.product_metrics_5m", {"fingerprint": 10**37}, "fingerprint is a sum of so many 60-bit hashes"),
    ("gold.region_revenue_5m", {"purchases": 7}, "events counts the purchases"),
    ("gold.region_revenue_daily", {"revenue_cents": -5}, "revenue_cents is at least 0"),
    ("gold.region_revenue_daily", {"revenue_cents": None}, "revenue_cents fits 64 bits"),
    ("gold.region_revenue_sliding_10m", {"window_end": LATER}, "the window is 10 min long"),
    (
        "gold.region_revenue_sliding_10m",
        {"window_start": NOON + timedelta(seconds=30)},
        "window_start is a multiple of 1 min",
    ),
    ("gold.user_totals_daily", {"first_purchase": LATER}, "the first purchase is not after the last"),
    ("gold.user_totals_daily", {"last_purchase": LATER}, "both purchases lie on event_date"),
    (
        "gold.fraud_decisions",
        {"transactions_10m": 2},
        "of the transactions in an hour, some are in the last 10 minutes, and one is itself",
    ),
    ("gold.fraud_decisions", {"flagged": True}, "flagged: the 6th or later in 10 minutes"),
    ("gold.fraud_decisions", {"blocked": True}, "blocked: there is a trigger"),
    (
        "gold.fraud_decisions",
        {"transactions_1h": 11},
        "the 11th or later in an hour is a trigger, which blocks itself",
    ),
    (
        "gold.fraud_decisions",
        {"trigger_time": NOON - timedelta(days=9), "blocked": True},
        "a trigger blocks for less than an hour",
    ),
    ("gold.fraud_decisions", {"events": 2}, "a decision is made of one transaction"),
    ("gold.alerts", {"rule": "hunch"}, "the rule is one of those that there are"),
    ("gold.alerts", {"rule": "fraud_flagged"}, "the alert of a transaction names it, no other does"),
    ("gold.alerts", {"event_id": "x"}, "the event's id and time are known together"),
    ("gold.alerts", {"window_end": NOON - timedelta(days=9)}, "the window doesn't end before it begins"),
    ("gold.alerts", {"event_id": "x", "event_time": LATER}, "the event lies in the window"),
    ("gold.user_totals", {"last_purchase": NOON - timedelta(days=9)}, "the first purchase is not after the last"),
]


@pytest.mark.parametrize(("name", "change", "says"), BREAKS)
def test_a_broken_row_is_found(name, change, says):
    rows = expected(name, SHOP)
    first = rows.head(1).with_columns(
        pl.lit(value).cast(rows.schema[column]).alias(column) for column, value in change.items()
    )
    assert says in broken(name, pl.concat([first, rows.slice(1)]))


@pytest.mark.parametrize(("name", "change", "says"), BREAKS)
def test_the_rows_that_a_violation_names_are_the_table_s(name, change, says):
    rows = expected(name, SHOP)
    first = rows.head(1).with_columns(
        pl.lit(value).cast(rows.schema[column]).alias(column) for column, value in change.items()
    )
    (rule,) = (r for r in rules_of(table(name)) if r.says == says)
    failing = rule.failing(pl.concat([first, rows.slice(1)]).lazy()).collect()
    assert failing.columns == rows.columns
    assert failing.height


@pytest.mark.parametrize("name", checked_tables())
def test_of_a_repeated_key_every_row_fails(name):
    rows = expected(name, SHOP)
    (rule,) = (r for r in rules_of(table(name)) if r.says.endswith("is unique"))
    assert rule.failing(pl.concat([rows, rows.head(1)]).lazy()).collect().height == 2


def test_every_rule_written_by_hand_has_a_row_that_breaks_it():
    tested = {(name, says) for name, _, says in BREAKS}
    alike = {says for _, says in tested}
    untested = {(name, rule.says) for name, rules in BY_HAND.items() for rule in rules} - tested
    assert {says for _, says in untested} <= alike | {"one event_id of a user has one event_time within a day"}


def test_an_event_id_at_two_times_is_a_warning():
    events = Events.of([click("ana", "10:00", event_id="same"), click("ana", "10:01", event_id="same")])
    (rule,) = (r for r in rules_of(table("silver.clicks")) if r.severity is Severity.WARNING)
    assert broken("silver.clicks", expected("silver.clicks", events)) == {rule.says}
