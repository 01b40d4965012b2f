"""`gold.region_revenue_5m`: purchases and revenue per region and 5 minutes; the daily table rolls it up."""

from typing import Final

from lakehouse.contracts.columns import REVENUE, WINDOW, Column, Type, gold
from lakehouse.contracts.events import PURCHASES
from lakehouse.semantics.rules import WindowRule
from lakehouse.semantics.scopes import Window, same
from lakehouse.semantics.windows import MINUTE

CONTRACT: Final = gold(
    "region_revenue_5m",
    ("silver.purchases",),
    (Column("region", Type.STRING), *WINDOW, *REVENUE),
    ("region", "window_start"),
)

RULE: Final = WindowRule(5 * MINUTE, 5 * MINUTE)

SCOPE: Final = same("window_start", {PURCHASES.topic: Window(RULE.size_ms, RULE.every_ms, ("region",))})
