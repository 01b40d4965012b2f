"""Where every record of the log went, and what the reference found in it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from lakehouse.semantics.events import Click, Purchase
from lakehouse.semantics.log import EventLog
from lakehouse.semantics.metrics.sessions.reference import merges
from lakehouse.semantics.reference import METRICS
from lakehouse.semantics.versions import Catalog


@dataclass(frozen=True, slots=True)
class TopicAccounting:
    """read = used + duplicate + sum(dead); used = on_time + late + very_late."""

    read: int = 0
    used: int = 0
    duplicate: int = 0
    dead: Mapping[str, int] = field(default_factory=dict)
    """Dead letters by reason."""
    on_time: int = 0
    late: int = 0
    very_late: int = 0

    @property
    def dead_letters(self) -> int:
        return sum(self.dead.values())

    @property
    def balanced(self) -> bool:
        return (
            self.read == self.used + self.duplicate + self.dead_letters
            and self.used == self.on_time + self.late + self.very_late
        )

    def __add__(self, other: "TopicAccounting") -> "TopicAccounting":
        reasons = sorted({*self.dead, *other.dead})
        return TopicAccounting(
            self.read + other.read,
            self.used + other.used,
            self.duplicate + other.duplicate,
            {reason: self.dead.get(reason, 0) + other.dead.get(reason, 0) for reason in reasons},
            self.on_time + other.on_time,
            self.late + other.late,
            self.very_late + other.very_late,
        )


@dataclass(frozen=True, slots=True)
class Accounting:
    """The log in numbers. Shares are between 0 and 1, and 0 of nothing."""

    topics: Mapping[str, TopicAccounting]
    merged_sessions: int
    """How often an arriving event joined two sessions that were apart until then."""
    purchases: int
    attributed_purchases: int
    events_with_product: int
    """Clicks and purchases that name a product."""
    enriched_events: int
    """Those for which a version of the product was valid at their time."""
    flagged_transactions: int
    blocked_transactions: int

    @property
    def total(self) -> TopicAccounting:
        return sum(self.topics.values(), TopicAccounting())

    @property
    def enriched_share(self) -> float:
        return self.enriched_events / self.events_with_product if self.events_with_product else 0.0

    @property
    def balanced(self) -> bool:
        return all(topic.balanced for topic in self.topics.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the totals and shares."""
        return asdict(self) | {
            "total": asdict(self.total),
            "enriched_share": self.enriched_share,
            "balanced": self.balanced,
        }


def account(log: EventLog) -> Accounting:
    """Counts what the log holds."""
    topics = {
        topic: TopicAccounting(
            found.read,
            found.used,
            found.duplicate,
            {str(reason): count for reason, count in sorted(found.dead.items())},
            found.on_time,
            found.late,
            found.very_late,
        )
        for topic, found in sorted(log.accounts.items())
    }
    catalog = Catalog(log.events.products)
    with_product = enriched = 0
    for event in chain[Click | Purchase](log.events.clicks, log.events.purchases):
        if event.product_id is not None:
            with_product += 1
            enriched += catalog.at(event.product_id, event.event_time) is not None
    attributed = sum(row["events"] == 2 for row in METRICS["silver.purchase_clicks"].compute(log.events))
    flagged = blocked = 0
    for decision in METRICS["gold.fraud_decisions"].compute(log.events):
        flagged += decision["flagged"]
        blocked += decision["blocked"]
    return Accounting(
        topics=topics,
        merged_sessions=merges(log.events.clicks),
        purchases=len(log.events.purchases),
        attributed_purchases=attributed,
        events_with_product=with_product,
        enriched_events=enriched,
        flagged_transactions=flagged,
        blocked_transactions=blocked,
    )
