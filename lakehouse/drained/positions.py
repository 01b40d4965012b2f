"""How far each consumer of a topic is: Spark by its checkpoint, the others by their group's commits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from lakehouse.alerts import notifier_groups
from lakehouse.checkpoints import Positions, current_checkpoint
from lakehouse.contracts.jobs import DEFAULT_JOBS, JOBS
from lakehouse.kafka.consumer import TIMEOUT_SECONDS, build_consumer, count_records, record_ends, stable_ranges
from lakehouse.kafka.offsets import partition_counts
from lakehouse.losses import Loss, find_losses
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import spark_positions

LIVE_DASHBOARD: Final = "live_dashboard"
DASHBOARD_WRITER: Final = "dashboard_writer"
NOTIFIER: Final = "notifier"
COUNTED: Final = 1_000
"""Up to so many offsets of a partition that a consumer is behind, the records among them are counted."""
_NO_COORDINATOR: Final = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE}
"""What a broker that has just started answers about a group until it has the topic in which groups' offsets lie."""

CONSUMERS: Final[Mapping[str, tuple[str, ...]]] = {j.name: j.topics for j in DEFAULT_JOBS.values() if j.topics}
"""The topics that each consumer reads; all but Spark commit offsets under a group of their name, and the notifier
under one per receiver."""


@dataclass(frozen=True, slots=True)
class Lag:
    """A consumer on one partition. `position`: the next offset that it owes; None: it has read nothing.

    `end` is the offset after the last record that can be read. `records`: how many lie before it and are owed, where
    they were counted.
    """

    consumer: str
    topic: str
    partition: int
    start: int
    end: int
    position: int | None
    records: int | None = None

    @property
    def reached(self) -> int:
        """The offset from which on it owes records: its position, or where the log begins."""
        return max(self.start, self.position or 0)

    @property
    def offsets(self) -> int:
        """Offsets that it is behind; some of them may be no records, but the last one is."""
        return max(0, self.end - self.reached)

    @property
    def lag(self) -> int:
        """Records that it owes; of more than `COUNTED` offsets, as many at most. 0 if and only if it owes none."""
        return self.offsets if self.records is None else self.records


def consumers() -> tuple[str, ...]:
    """Those that have positions."""
    return tuple(CONSUMERS)


def lags(settings: Settings, names: Iterable[str] = tuple(CONSUMERS), ends: Positions | None = None) -> list[Lag]:
    """Each consumer's lag behind `ends`, or behind where its topics end now.

    `ends` are ends of records, as `lakehouse.drained.kafka_ends` says them.

    Raises:
        ServiceDownError: Kafka, or for Spark MinIO, does not answer.
        ReadError: a topic does not exist.
    """
    names = tuple(names)
    bounds = stable_ranges(settings, {topic for name in names for topic in CONSUMERS[name]})
    found = []
    for name in names:
        positions = spark_positions(settings, name) if JOBS[name].spark else committed_positions(settings, name)
        for topic in CONSUMERS[name]:
            low, high = bounds[topic]
            for partition, end in sorted((ends or {}).get(topic, high).items()):
                position = positions.get(topic, {}).get(partition)
                found.append(Lag(name, topic, partition, low[partition], end, position))
    if ends is None:
        # Only where somebody is behind the stable end it matters whether records lie there.
        behind = {(each.topic, each.partition): (each.start, each.end) for each in found if each.offsets}
        last = record_ends(settings, behind)
        found = [replace(each, end=last.get((each.topic, each.partition), each.end)) for each in found]
    return [counted for name in names for counted in _counted(settings, [e for e in found if e.consumer == name])]


def _counted(settings: Settings, lags: Sequence[Lag]) -> list[Lag]:
    """Those of one consumer, with the number of records where the offsets are few."""
    few = {(e.topic, e.partition): (e.reached, e.end) for e in lags if 0 < e.offsets <= COUNTED}
    counts = count_records(settings, few)
    return [
        replace(each, records=counts[place]) if (place := (each.topic, each.partition)) in few else each
        for each in lags
    ]


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


def flink_positions(settings: Settings, job: str) -> Positions:
    """Where a Flink job goes on: at what it has committed with its last checkpoint, or beyond that where somebody has
    accepted that the records in between are lost."""
    told, accepted = group_positions(settings, job), current_checkpoint(settings, job).start or {}
    return {
        topic: {
            p: max(told.get(topic, {}).get(p, 0), accepted.get(topic, {}).get(p, 0))
            for p in {*told.get(topic, {}), *accepted.get(topic, {})}
        }
        for topic in {*told, *accepted}
    }


def lost(settings: Settings, name: str) -> list[Loss]:
    """What a consumer that has checkpoints had not read and Kafka no longer has: it can't go on. Raises as `lags`."""
    ids = current_checkpoint(settings, name).topics
    if not ids:
        return []
    positions = spark_positions(settings, name) if JOBS[name].spark else flink_positions(settings, name)
    return find_losses(settings, CONSUMERS[name], positions, ids)[1]


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
