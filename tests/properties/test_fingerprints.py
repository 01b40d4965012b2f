"""Fingerprints are sums: those of a table add up to those of the events it was made of."""

from typing import Any

import pytest
from hypothesis import given

from lakehouse.semantics import Event, Events
from lakehouse.semantics.log import assemble
from lakehouse.semantics.reference import METRICS
from tests.strategies import event_streams


def sums(name: str, events: Events) -> tuple[int, int]:
    rows: list[dict[str, Any]] = list(METRICS[name].compute(events))
    return sum(r["events"] for r in rows), sum(r["fingerprint"] for r in rows)


def of(*events: Event) -> tuple[int, int]:
    return len(events), sum(e.record_hash for e in events)


@pytest.mark.parametrize("name", ["silver.sessions", "silver.session_parts"])
@given(stream=event_streams())
def test_sessions_hold_every_click_once(name: str, stream: list[Event]) -> None:
    events = assemble(stream).events
    assert sums(name, events) == of(*events.clicks)


@pytest.mark.parametrize("name", ["gold.product_metrics_5m", "marts.product_daily"])
@given(stream=event_streams())
def test_products_hold_every_event_with_a_product_once(name: str, stream: list[Event]) -> None:
    events = assemble(stream).events
    assert sums(name, events) == of(*(c for c in events.clicks if c.product_id is not None), *events.purchases)


@pytest.mark.parametrize(
    "name",
    ["gold.region_revenue_5m", "gold.region_revenue_daily", "gold.user_totals_daily", "gold.user_totals"],
)
@given(stream=event_streams())
def test_revenue_holds_every_purchase_once(name: str, stream: list[Event]) -> None:
    events = assemble(stream).events
    assert sums(name, events) == of(*events.purchases)


@pytest.mark.parametrize("name", ["gold.fraud_decisions"])
@given(stream=event_streams())
def test_decisions_hold_every_transaction_once(name: str, stream: list[Event]) -> None:
    events = assemble(stream).events
    assert sums(name, events) == of(*events.transactions)


@given(stream=event_streams())
def test_sliding_windows_hold_every_purchase_ten_times(stream: list[Event]) -> None:
    events = assemble(stream).events
    count, fingerprint = of(*events.purchases)
    assert sums("gold.region_revenue_sliding_10m", events) == (10 * count, 10 * fingerprint)


@given(stream=event_streams())
def test_regions_hold_every_event_once(stream: list[Event]) -> None:
    events = assemble(stream).events
    assert sums("marts.region_daily", events) == of(*events.clicks, *events.purchases)


@given(stream=event_streams())
def test_funnels_hold_every_click_and_the_purchases_inside_sessions_once(stream: list[Event]) -> None:
    events = assemble(stream).events
    sessions = list(METRICS["silver.sessions"].compute(events))
    inside = [
        purchase
        for purchase in events.purchases
        for s in sessions
        if s["user_id"] == purchase.user_id and s["session_start"] <= purchase.event_time <= s["session_end"]
    ]
    assert sums("marts.session_funnel", events) == of(*events.clicks, *inside)


@given(stream=event_streams())
def test_purchase_clicks_hold_every_purchase_and_its_click(stream: list[Event]) -> None:
    events = assemble(stream).events
    clicks = {(c.user_id, c.event_id, c.event_time): c for c in events.clicks}
    rows = list(METRICS["silver.purchase_clicks"].compute(events))
    attributed = [
        clicks[r["user_id"], r["click_event_id"], r["click_event_time"]]
        for r in rows
        if r["click_event_id"] is not None
    ]
    assert sums("silver.purchase_clicks", events) == of(*events.purchases, *attributed)
