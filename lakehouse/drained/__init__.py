"""Whether all that Kafka held at a moment has reached its last table and Redis, and where it is if not."""

from lakehouse.drained.diagnosis import Cause, Diagnosis, Pace, diagnose, hot_partitions
from lakehouse.drained.hops import Drain, DrainState, Hop, NotDrainedError, kafka_ends, wait_until_drained
from lakehouse.drained.look import Look, look
from lakehouse.drained.positions import Lag, consumers, lags
from lakehouse.drained.top_keys import top_keys
from lakehouse.drained.waiting import oldest_owed

__all__ = [
    "Cause",
    "Diagnosis",
    "Drain",
    "DrainState",
    "Hop",
    "Lag",
    "Look",
    "NotDrainedError",
    "Pace",
    "consumers",
    "diagnose",
    "hot_partitions",
    "kafka_ends",
    "lags",
    "look",
    "oldest_owed",
    "top_keys",
    "wait_until_drained",
]
