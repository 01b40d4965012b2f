"""`marts.product_daily`: per product and UTC day the sums of its windows, with category and brand."""

from typing import Final

from lakehouse.contracts.columns import EVENT_DATE, REVENUE_CENTS, ROLLED_UP, Column, TableContract, Type
from lakehouse.contracts.events import CLICKS, PRODUCTS, PURCHASES
from lakehouse.contracts.owners import BACKFILL
from lakehouse.semantics.scopes import Key, MetricScope, Version, Window
from lakehouse.semantics.windows import DAY

CONTRACT: Final = TableContract(
    "marts.product_daily",
    BACKFILL,
    (
        EVENT_DATE,
        Column("product_id", Type.STRING),
        Column("impressions", Type.LONG),
        Column("clicks", Type.LONG),
        Column("conversions", Type.LONG),
        REVENUE_CENTS,
        Column("ctr", Type.DOUBLE, nullable=True),
        Column("category", Type.STRING, nullable=True),
        Column("brand", Type.STRING, nullable=True),
        *ROLLED_UP,
    ),
    ("event_date", "product_id"),
    ("event_date",),
    ("gold.product_metrics_5m", "silver.products"),
)

_DAY: Final = Window(DAY, DAY, ("product_id",))

SCOPE: Final = MetricScope(
    "event_date",
    affected={
        CLICKS.topic: _DAY,
        PURCHASES.topic: _DAY,
        PRODUCTS.topic: Version(("product_id",), row_offset_ms=DAY - 1),
    },
    needs={
        CLICKS.topic: _DAY,
        PURCHASES.topic: _DAY,
        PRODUCTS.topic: Key(()),
    },
)
