"""Where consumer groups go on."""

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from lakehouse.kafka.offsets import EARLIEST, TIMEOUT_SECONDS, admin_client, explained, list_offsets, partition_counts
from lakehouse.settings import Settings


def begin_group(settings: Settings, group: str, topic: str) -> None:
    """Lets `group`, which has no members, go on with the first record that each partition of `topic` still has.

    Raises as `move_group`.
    """
    name = settings.prefixed(topic)
    partitions = [TopicPartition(name, p) for p in range(partition_counts(settings).get(name, 0))]
    first = list_offsets(settings, partitions, EARLIEST)
    move_group(settings, group, topic, {partition: offset for (_, partition), offset in first.items()})


def move_group(settings: Settings, group: str, topic: str, positions: Mapping[int, int]) -> None:
    """Lets `group`, which has no members, go on at `positions`, by partition of `topic`.

    Raises:
        ServiceDownError: Kafka does not answer.
        KafkaException: the group has members.
    """
    if not positions:
        return
    moved = [TopicPartition(settings.prefixed(topic), partition, offset) for partition, offset in positions.items()]
    asked = ConsumerGroupTopicPartitions(settings.prefixed(group), moved)
    try:
        for future in (
            admin_client(settings).alter_consumer_group_offsets([asked], request_timeout=TIMEOUT_SECONDS).values()
        ):
            future.result(TIMEOUT_SECONDS)
    except KafkaException as error:
        raise explained(error, settings) from error
