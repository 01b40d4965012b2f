"""`gold.user_totals_daily`: purchases per user and UTC day; `gold.user_totals` rolls it up."""

from typing import Final

from lakehouse.contracts.columns import REVENUE, Column, Type, gold
from lakehouse.contracts.events import PURCHASES
from lakehouse.semantics.scopes import Window, same
from lakehouse.semantics.windows import DAY

CONTRACT: Final = gold(
    "user_totals_daily",
    ("silver.purchases",),
    (
        Column("user_id", Type.STRING),
        *REVENUE,
        Column("first_purchase", Type.TIMESTAMP),
        Column("last_purchase", Type.TIMESTAMP),
    ),
    ("user_id", "event_date"),
)

SCOPE: Final = same("event_date", {PURCHASES.topic: Window(DAY, DAY, ("user_id",))})
