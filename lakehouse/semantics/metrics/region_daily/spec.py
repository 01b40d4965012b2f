"""`marts.region_daily`: per region and UTC day purchases, clicks, impressions and users."""

from typing import Final

from lakehouse.contracts.columns import EVENT_DATE, REVENUE, ROLLED_UP, Column, TableContract, Type
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.contracts.owners import BACKFILL
from lakehouse.semantics.scopes import Window, same
from lakehouse.semantics.windows import DAY

CONTRACT: Final = TableContract(
    "marts.region_daily",
    BACKFILL,
    (
        EVENT_DATE,
        Column("region", Type.STRING),
        *REVENUE,
        Column("clicks", Type.LONG),
        Column("impressions", Type.LONG),
        Column("distinct_users", Type.LONG),
        *ROLLED_UP,
    ),
    ("event_date", "region"),
    ("event_date",),
    ("silver.clicks", "silver.purchases"),
)

_DAY: Final = Window(DAY, DAY, ("region",))

SCOPE: Final = same("event_date", {CLICKS.topic: _DAY, PURCHASES.topic: _DAY})
