"""`silver.purchases`: each purchase once, with the product version valid at its time."""

from typing import Final

from lakehouse.contracts.columns import silver_events
from lakehouse.contracts.events import PRODUCTS, PURCHASES
from lakehouse.semantics.scopes import IntervalAround, Key, MetricScope, Version

CONTRACT: Final = silver_events(PURCHASES)

SCOPE: Final = MetricScope(
    "event_time",
    affected={PURCHASES.topic: IntervalAround(0, 0, ("user_id",)), PRODUCTS.topic: Version(("product_id",))},
    needs={PURCHASES.topic: IntervalAround(0, 0, ()), PRODUCTS.topic: Key(())},
)
