"""`silver.purchase_clicks`: each purchase with the click that it is attributed to."""

from dataclasses import dataclass
from typing import Final

from lakehouse.contracts.columns import EVENT_DATE, ROLLED_UP, Column, TableContract, Type
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.semantics.rules import Rule
from lakehouse.semantics.scopes import IntervalAround, MetricScope
from lakehouse.semantics.windows import MINUTE

CONTRACT: Final = TableContract(
    "silver.purchase_clicks",
    SPARK_INGEST,
    (
        Column("event_id", Type.STRING),
        Column("event_time", Type.TIMESTAMP),
        Column("user_id", Type.STRING),
        Column("product_id", Type.STRING),
        Column("quantity", Type.LONG),
        Column("amount_cents", Type.LONG),
        Column("region", Type.STRING),
        Column("click_event_id", Type.STRING, nullable=True),
        Column("click_event_time", Type.TIMESTAMP, nullable=True),
        *ROLLED_UP,
        EVENT_DATE,
    ),
    ("user_id", "event_id", "event_time"),
    ("event_date",),
    ("silver.clicks", "silver.purchases"),
)


@dataclass(frozen=True, slots=True)
class AttributionRule(Rule):
    """A click counts up to `reach_ms` before the purchase, included."""

    reach_ms: int = 5 * MINUTE


RULE: Final = AttributionRule()

SCOPE: Final = MetricScope(
    "event_time",
    affected={
        PURCHASES.topic: IntervalAround(0, 0, ("user_id",)),
        CLICKS.topic: IntervalAround(0, RULE.reach_ms, ("user_id", "product_id")),
    },
    needs={
        PURCHASES.topic: IntervalAround(0, 0, ("user_id",)),
        CLICKS.topic: IntervalAround(RULE.reach_ms, 0, ("user_id",)),
    },
    only={CLICKS.topic: {"action": "click"}},
)
