"""`gold.product_metrics_5m`: impressions, clicks, conversions, revenue and rate per product and 5 minutes."""

from typing import Final

from lakehouse.contracts.columns import REVENUE_CENTS, WINDOW, Column, Type, gold
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.semantics.rules import WindowRule
from lakehouse.semantics.scopes import Window, same
from lakehouse.semantics.windows import MINUTE

CONTRACT: Final = gold(
    "product_metrics_5m",
    ("silver.clicks", "silver.purchases"),
    (
        Column("product_id", Type.STRING),
        *WINDOW,
        Column("impressions", Type.LONG),
        Column("clicks", Type.LONG),
        Column("conversions", Type.LONG),
        REVENUE_CENTS,
        Column("ctr", Type.DOUBLE, nullable=True),
    ),
    ("product_id", "window_start"),
)

RULE: Final = WindowRule(5 * MINUTE, 5 * MINUTE)

_WINDOWS: Final = Window(RULE.size_ms, RULE.every_ms, ("product_id",))

SCOPE: Final = same("window_start", {CLICKS.topic: _WINDOWS, PURCHASES.topic: _WINDOWS})
