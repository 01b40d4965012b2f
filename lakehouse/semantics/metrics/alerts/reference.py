"""Alerts that are true of the data (docs/semantics.md, Alerts): what `shop.alerts` should have said, had all been there
in time. Sessions are no rule of Flink's: their alerts are never sent."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.alerts.spec import RULE
from lakehouse.semantics.metrics.fraud_decisions import reference as fraud_decisions
from lakehouse.semantics.metrics.product_metrics_5m import reference as product_metrics_5m
from lakehouse.semantics.metrics.sessions import reference as sessions
from lakehouse.semantics.windows import HOUR, floor

Row = dict[str, Any]


def anomalous(impressions: int, clicks: int) -> bool:
    """impressions >= 20 and 2 * clicks > impressions, in integers."""
    return impressions >= RULE.impressions and 2 * clicks > impressions


def ctr_anomalies(events: Events) -> Iterator[Row]:
    """The windows of `product_metrics_5m` for which an alert is open once everything is read."""
    for row in product_metrics_5m.compute(events):
        if anomalous(row["impressions"], row["clicks"]):
            yield {
                name: row[name]
                for name in ("product_id", "window_start", "window_end", "impressions", "clicks", "events")
            }


def _alert(rule: str, key: str, start: int, end: int, source: Row, of_event: bool = False) -> Row:
    return {
        "rule": rule,
        "key": key,
        "window_start": start,
        "window_end": end,
        "event_id": source["event_id"] if of_event else None,
        "event_time": source["event_time"] if of_event else None,
        "events": source["events"],
        "fingerprint": source["fingerprint"],
        "event_date": source["event_date"],
    }


def compute(events: Events) -> Iterator[Row]:
    """One row per window with an anomalous click-through rate, per anomalous session, and per transaction that is
    flagged and that is blocked: in the hour, by the epoch, that it lies in."""
    for window in product_metrics_5m.compute(events):
        if anomalous(window["impressions"], window["clicks"]):
            yield _alert("ctr_anomaly", window["product_id"], window["window_start"], window["window_end"], window)
    for session in sessions.compute(events):
        if session["anomalous"]:
            yield _alert(
                "anomalous_session", session["user_id"], session["session_start"], session["session_end"], session
            )
    for decision in fraud_decisions.compute(events):
        hour = floor(decision["event_time"], HOUR)
        for rule, column in (("fraud_flagged", "flagged"), ("fraud_blocked", "blocked")):
            if decision[column]:
                yield _alert(rule, decision["user_id"], hour, hour + HOUR, decision, of_event=True)
