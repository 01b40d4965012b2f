"""Revenue by the purchase's region and day (docs/semantics.md, Windows)."""

from collections.abc import Iterator
from typing import Any

from lakehouse.semantics.events import Events
from lakehouse.semantics.metrics.region_revenue_5m.reference import sums
from lakehouse.semantics.money import money_sum
from lakehouse.semantics.windows import DAY, utc_date

Row = dict[str, Any]


def compute(events: Events) -> Iterator[Row]:
    """One row per region and UTC date."""
    for (region, start), (purchases, revenue, fingerprint) in sums(events, DAY, DAY).items():
        yield {
            "region": region,
            "purchases": purchases,
            "revenue_cents": money_sum(revenue),
            "events": purchases,
            "fingerprint": fingerprint,
            "event_date": utc_date(start),
        }
