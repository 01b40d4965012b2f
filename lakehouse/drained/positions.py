"""How far each consumer of a topic is: Spark by its checkpoint, the others by their group's commits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from lakehouse.alerts import notifier_groups
from lakehouse.contracts.events import CLICKS, PRODUCTS, PROFILES, PURCHASES, TRANSACTIONS
from lakehouse.contracts.tables import ALERTS_SENT, FRAUD_ONLINE, INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.kafka.consumer import TIMEOUT_SECONDS, build_consumer, offset_ranges
from lakehouse.kafka.offsets import partition_counts
from lakehouse.kafka.topics import ALERTS, DASHBOARD
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import Positions, spark_positions

LIVE_DASHBOARD: Final = "live_dashboard"
DASHBOARD_WRITER: Final = "dashboard_writer"
NOTIFIER: Final = "notifier"
_NO_COORDINATOR: Final = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE}
"""What a broker that has just started answers about a group until it has the topic in which groups' offsets lie."""

CONSUMERS: Final[Mapping[str, tuple[str, ...]]] = {
    SPARK_INGEST: (CLICKS.topic, PURCHASES.topic, TRANSACTIONS.topic, PRODUCTS.topic, PROFILES.topic),
    INGEST_TRANSACTIONS: (TRANSACTIONS.topic,),
    LIVE_DASHBOARD: (CLICKS.topic, PURCHASES.topic),
    FRAUD_ONLINE: (TRANSACTIONS.topic,),
    DASHBOARD_WRITER: (DASHBOARD,),
    ALERTS_SENT: (ALERTS,),
    NOTIFIER: (ALERTS,),
}
"""The topics that each consumer reads; all but Spark commit offsets under a group of their name, and the notifier
under one per receiver."""


@dataclass(frozen=True, slots=True)
class Lag:
    """A consumer on one partition. `position`: the next offset that it owes; None: it has read nothing.

    `lag` counts offsets from the position, or from the log's start, to its end. Where transactions leave control
    records it may stay above 0 with nothing left to read; our producers use none.
    """

    consumer: str
    topic: str
    partition: int
    start: int
    end: int
    position: int | None

    @property
    def lag(self) -> int:
        return max(0, self.end - max(self.start, self.position or 0))


def consumers() -> tuple[str, ...]:
    """Those that have positions, upstream first."""
    return tuple(CONSUMERS)


def lags(settings: Settings, names: Iterable[str] = tuple(CONSUMERS), ends: Positions | None = None) -> list[Lag]:
    """Each consumer's lag behind `ends`, or behind where its topics end now.

    Raises:
        ServiceDownError: Kafka, or for Spark MinIO, does not answer.
        ReadError: a topic does not exist.
    """
    names = tuple(names)
    bounds = offset_ranges(settings, {topic for name in names for topic in CONSUMERS[name]})
    found = []
    for name in names:
        positions = spark_positions(settings) if name == SPARK_INGEST else committed_positions(settings, name)
        for topic in CONSUMERS[name]:
            low, high = bounds[topic]
            for partition, end in sorted((ends or {}).get(topic, high).items()):
                position = positions.get(topic, {}).get(partition)
                found.append(Lag(name, topic, partition, low[partition], end, position))
    return found


def committed_positions(settings: Settings, name: str) -> Positions:
    """Where a consumer goes on: of several groups, what the slowest has committed."""
    groups = [name] if name != NOTIFIER else notifier_groups(settings)
    first, *others = (group_positions(settings, group) for group in groups)
    return {
        topic: {
            partition: min([offset, *(other[topic][partition] for other in others)])
            for partition, offset in partitions.items()
            if all(partition in other.get(topic, {}) for other in others)
        }
        for topic, partitions in first.items()
    }


def group_positions(settings: Settings, group: str) -> Positions:
    """What a consumer group has committed; nothing for one that never did."""
    asked = [
        TopicPartition(name, partition)
        for name, partitions in partition_counts(settings).items()
        if name.startswith(settings.prefixed("shop."))
        for partition in range(partitions)
    ]
    # By a consumer that doesn't join, not by the admin client: this one waits for a broker that has just started and
    # still reads its groups, and asking the admin client again then crashed the process (confluent-kafka 2.16.1).
    consumer = build_consumer(settings, group)
    try:
        committed = _committed(consumer, asked)
    except KafkaException as error:
        raise ServiceDownError("kafka", settings.kafka_bootstrap) from error
    finally:
        consumer.close()
    positions: dict[str, dict[int, int]] = {}
    for entry in committed:
        if entry.offset >= 0:
            positions.setdefault(settings.unprefixed(entry.topic), {})[entry.partition] = entry.offset
    return positions


@retry(
    retry=retry_if_exception(
        lambda error: isinstance(error, KafkaException) and error.args[0].code() in _NO_COORDINATOR
    ),
    stop=stop_after_delay(TIMEOUT_SECONDS),
    wait=wait_fixed(0.2),
    reraise=True,
)
def _committed(consumer: Consumer, asked: list[TopicPartition]) -> list[TopicPartition]:
    return consumer.committed(asked, timeout=TIMEOUT_SECONDS)
