"""The way that each topic's records take through the tables, derived from the contracts."""

from dataclasses import dataclass
from typing import Final

from lakehouse.contracts.events import EVENTS, EventContract
from lakehouse.contracts.tables import TABLES


@dataclass(frozen=True, slots=True)
class Route:
    """Every record of the topic is in `bronze` or in the dead letters; `silver` has one of each event, or of a
    changelog each version that holds. `variant`: a bronze table that another writer fills, and from which no silver
    is made."""

    event: EventContract
    variant: str | None = None

    @property
    def topic(self) -> str:
        return self.event.topic

    @property
    def bronze(self) -> str:
        return self.variant or f"bronze.{self.event.table}"

    @property
    def silver(self) -> str | None:
        return None if self.variant else f"silver.{self.event.table}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes two records the same event; the topic is the table's."""
        return (self.event.key, "event_id", "event_time")

    @property
    def payload(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.event.fields)


ROUTES: Final = {
    contract.topic: Route(contract) for contract in EVENTS.values() if f"bronze.{contract.table}" in TABLES
}
"""By topic; a topic without a bronze table in the contracts is not ingested."""

VARIANTS: Final = {
    name: Route(route.event, name)
    for route in ROUTES.values()
    for name, contract in TABLES.items()
    if contract.variant_of == route.bronze
}
"""By table."""
