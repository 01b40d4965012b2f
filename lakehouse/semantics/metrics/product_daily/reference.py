"""A product's day (docs/semantics.md, Marts)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.product_metrics_5m.reference import ctr, measure
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.versions import Catalog
from lakehouse.semantics.windows import DAY, utc_date

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """Per product and UTC day the sums of `product_metrics_5m`.

    Category and brand are of the version valid at the day's end: in its last millisecond, as days are half-open.
    """
    catalog = Catalog(events.products)
    for (product_id, start), (impressions, clicks, conversions, revenue, fingerprint) in measure(events, DAY).items():
        version = catalog.at(product_id, start + DAY - 1)
        yield {
            "event_date": utc_date(start),
            "product_id": product_id,
            "impressions": impressions,
            "clicks": clicks,
            "conversions": conversions,
            "revenue_cents": money_sum(revenue),
            "ctr": ctr(impressions, clicks),
            "category": version.category if version else None,
            "brand": version.brand if version else None,
            "events": impressions + clicks + conversions,
            "fingerprint": fingerprint,
        }
