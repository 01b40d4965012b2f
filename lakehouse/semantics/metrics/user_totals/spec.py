"""`gold.user_totals`: all purchases of a user."""

from typing import Final

from lakehouse.contracts.columns import REVENUE, Column, Type, gold
from lakehouse.contracts.events import PURCHASES
from lakehouse.semantics.scopes import Key, Totals, same

CONTRACT: Final = gold(
    "user_totals",
    ("gold.user_totals_daily",),
    (
        Column("user_id", Type.STRING),
        *REVENUE,
        Column("first_purchase", Type.TIMESTAMP),
        Column("last_purchase", Type.TIMESTAMP),
    ),
    ("user_id",),
    (),
)

SCOPE: Final = same(None, {PURCHASES.topic: Key(("user_id",))})
TOTALS: Final = Totals(("purchases", "revenue_cents", "events", "fingerprint"), ("first_purchase",), ("last_purchase",))
