"""The generator's catalogue, from nothing to Kafka."""

from datetime import date

from lakehouse.catalog.refresh import RefreshResult, refresh
from lakehouse.catalog.seed import seed_catalogue
from lakehouse.kafka.topics import create_topics
from lakehouse.settings import Settings


def publish_seeded(settings: Settings, seed: int, day: date) -> RefreshResult:
    """Creates topics that are missing, records the catalogue as of `day` and publishes it; of a seed once.

    Raises what `create_topics`, `seed_catalogue` and `refresh` raise.
    """
    create_topics(settings)
    seed_catalogue(settings, seed, day)
    return refresh(settings)
