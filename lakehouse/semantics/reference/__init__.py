"""The reference: every table computed from events. No engine imports it, else it would be compared with itself."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lakehouse.semantics.events import Events
from lakehouse.semantics.reference import (
    alerts,
    attribution,
    enrichment,
    fraud,
    marts,
    product_metrics,
    region_revenue,
    sessions,
    user_totals,
    versions,
)
from lakehouse.semantics.reference.ctr_anomaly import ctr_anomalies
from lakehouse.semantics.reference.sessions import current_sessions
from lakehouse.semantics.scopes import SCOPES, Scope

__all__ = ["METRICS", "Metric", "Row", "ctr_anomalies", "current_sessions"]

Row = dict[str, Any]
"""A table's row: its compared columns, times in milliseconds, dates as dates, fingerprints as integers."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One table's meaning. `compute` yields its rows in no particular order, one at a time to bound memory."""

    table: str
    compute: Callable[[Events], Iterator[Row]]

    @property
    def affected(self) -> Mapping[str, Scope]:
        """By the topic of an event, the rows to replace for it."""
        return SCOPES[self.table].affected

    @property
    def needs(self) -> Mapping[str, Scope]:
        """By topic, the events to read for such rows."""
        return SCOPES[self.table].needs


METRICS: Final = {
    table: Metric(table, compute)
    for table, compute in {
        "silver.clicks": enrichment.clicks,
        "silver.purchases": enrichment.purchases,
        "silver.transactions": enrichment.transactions,
        "silver.products": versions.products,
        "silver.profiles": versions.profiles,
        "silver.sessions": sessions.sessions,
        "silver.session_parts": sessions.session_parts,
        "silver.purchase_clicks": attribution.purchase_clicks,
        "gold.product_metrics_5m": product_metrics.product_metrics_5m,
        "gold.region_revenue_5m": region_revenue.region_revenue_5m,
        "gold.region_revenue_daily": region_revenue.region_revenue_daily,
        "gold.region_revenue_sliding_10m": region_revenue.region_revenue_sliding_10m,
        "gold.user_totals_daily": user_totals.user_totals_daily,
        "gold.user_totals": user_totals.user_totals,
        "gold.fraud_decisions": fraud.fraud_decisions,
        "gold.alerts": alerts.alerts,
        "marts.product_daily": marts.product_daily,
        "marts.region_daily": marts.region_daily,
        "marts.session_funnel": marts.session_funnel,
    }.items()
}
"""Metrics by table."""
