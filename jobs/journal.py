"""The journal of this process's core: what its batches did, and how long records took through them."""

from typing import Final

from jobs.follower import freshness as follower_freshness
from jobs.follower.progress import finished_cycles
from jobs.streaming.spark import freshness as spark_freshness
from jobs.streaming.spark.progress import finished_batches
from lakehouse.contracts.core import CORE, Core

finished: Final = finished_cycles if CORE is Core.FOLLOWER else finished_batches
"""The entries of the batches that began at or after a time: of the follower's cycles, or Spark's micro-batches."""
until_gold: Final = follower_freshness.until_gold if CORE is Core.FOLLOWER else spark_freshness.until_gold
"""By such entries, how long each click took from Kafka to gold."""
