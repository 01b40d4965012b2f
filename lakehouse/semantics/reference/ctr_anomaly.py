"""CTR anomalies (docs/semantics.md, Alerts)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.reference.product_metrics import product_metrics_5m
from lakehouse.semantics.scopes import ANOMALY_IMPRESSIONS

Row = dict[str, Any]


def anomalous(impressions: int, clicks: int) -> bool:
    """impressions >= 20 and 2 * clicks > impressions, in integers."""
    return impressions >= ANOMALY_IMPRESSIONS and 2 * clicks > impressions


def ctr_anomalies(events: Events) -> Iterator[Row]:
    """The windows of `product_metrics_5m` for which an alert is open once everything is read."""
    for row in product_metrics_5m(events):
        if anomalous(row["impressions"], row["clicks"]):
            yield {
                name: row[name]
                for name in ("product_id", "window_start", "window_end", "impressions", "clicks", "events")
            }
