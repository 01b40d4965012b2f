"""The shop's products and profiles in PostgreSQL, with every version they ever had, and their way to Kafka."""

from lakehouse.catalog.publish import publish_seeded
from lakehouse.catalog.refresh import REMEDY, RefreshResult, SetAside, refresh
from lakehouse.catalog.seed import Seeded, seed_catalogue

__all__ = ["REMEDY", "RefreshResult", "Seeded", "SetAside", "publish_seeded", "refresh", "seed_catalogue"]
