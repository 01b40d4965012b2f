"""`gold.region_revenue_daily`: purchases and revenue per region and UTC day."""

from typing import Final

from lakehouse.contracts.columns import REVENUE, Column, Type, gold
from lakehouse.contracts.events import PURCHASES
from lakehouse.semantics.scopes import Window, same
from lakehouse.semantics.windows import DAY

CONTRACT: Final = gold(
    "region_revenue_daily",
    ("gold.region_revenue_5m",),
    (Column("region", Type.STRING), *REVENUE),
    ("region", "event_date"),
)

SCOPE: Final = same("event_date", {PURCHASES.topic: Window(DAY, DAY, ("region",))})
