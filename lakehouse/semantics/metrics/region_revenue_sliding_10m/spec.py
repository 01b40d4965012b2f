"""`gold.region_revenue_sliding_10m`: purchases and revenue per region and 10 minutes, one row each minute."""

from typing import Final

from lakehouse.contracts.columns import REVENUE, WINDOW, Column, Type, gold
from lakehouse.contracts.events import PURCHASES
from lakehouse.semantics.rules import WindowRule
from lakehouse.semantics.scopes import Window, same
from lakehouse.semantics.windows import MINUTE

CONTRACT: Final = gold(
    "region_revenue_sliding_10m",
    ("silver.purchases",),
    (Column("region", Type.STRING), *WINDOW, *REVENUE),
    ("region", "window_start"),
)

RULE: Final = WindowRule(10 * MINUTE, MINUTE)

SCOPE: Final = same("window_start", {PURCHASES.topic: Window(RULE.size_ms, RULE.every_ms, ("region",))})
