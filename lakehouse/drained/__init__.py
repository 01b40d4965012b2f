"""Whether all that Kafka held at a moment has reached its last table and Redis, and where it is if not."""

from lakehouse.drained.hops import Drain, DrainState, Hop, NotDrainedError, kafka_ends, wait_until_drained
from lakehouse.drained.positions import Lag, consumers, lags

__all__ = [
    "Drain",
    "DrainState",
    "Hop",
    "Lag",
    "NotDrainedError",
    "consumers",
    "kafka_ends",
    "lags",
    "wait_until_drained",
]
