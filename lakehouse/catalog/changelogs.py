"""Which tables of PostgreSQL hold the catalogue, and the topics that publish them."""

from dataclasses import dataclass
from typing import Final

from lakehouse.contracts.events import PRODUCTS, PROFILES, EventContract, Field


@dataclass(frozen=True, slots=True)
class Changelog:
    """A table of current rows, the table of their versions, and the topic that publishes these."""

    current: str
    versions: str
    contract: EventContract

    @property
    def fields(self) -> tuple[Field, ...]:
        """The payload's fields that both tables have as columns: key first, `valid_from` last."""
        return tuple(f for f in self.contract.fields if f.name not in ("event_id", "event_time"))

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f.name for f in self.fields)


CHANGELOGS: Final = (
    Changelog("products", "product_versions", PRODUCTS),
    Changelog("profiles", "profile_versions", PROFILES),
)
