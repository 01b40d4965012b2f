"""Sets the consumer back to a time: what it made of the records from then on, it makes again, and replaces.

Whether it runs or not. Its results are keyed by topic, partition and offset, so that the rerun doubles nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from confluent_kafka import TopicPartition

from jobs.streaming.region_revenue.main import TOPIC
from jobs.streaming.region_revenue.store import connect, set_back
from lakehouse.kafka.consumer import offset_range
from lakehouse.kafka.offsets import LOOKBACK, offsets_at
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Sought:
    """A partition that was at `before` (None: nothing was kept of it) and goes on at `offset`, of which Kafka holds
    what is not older than `kafka_begins`."""

    partition: int
    before: int | None
    offset: int
    kafka_begins: int

    @property
    def again(self) -> int:
        """Offsets that are read again."""
        return max(0, (self.before or 0) - self.offset)


def seek(settings: Settings, to: datetime, by: str, lookback: timedelta = LOOKBACK) -> list[Sought]:
    """Lets each partition go on with the first record that arrived at `to` (with a zone), less `lookback`, or later.

    A partition that is not as far yet stays where it is; records that retention has removed are not read again, and
    their results stay.

    Raises:
        ReadError: there is no such topic.
        ServiceDownError: Kafka or PostgreSQL does not answer.
    """
    begins, ends = offset_range(settings, TOPIC)
    full = settings.prefixed(TOPIC)
    found = offsets_at(settings, [TopicPartition(full, p) for p in ends], to - lookback)
    offsets = {partition: found[full, partition] for partition in ends}
    with connect(settings) as connection:
        before = set_back(connection, TOPIC, offsets, f"sought to {to.isoformat()} by {by}")
    return [Sought(p, before[p], offset, begins[p]) for p, offset in sorted(offsets.items())]
