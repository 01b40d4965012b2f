"""Where consumer groups go on."""

from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicPartition

from lakehouse.kafka.consumer import build_consumer, stable_ranges
from lakehouse.kafka.offsets import check_listening, explained
from lakehouse.settings import Settings


def begin_group(settings: Settings, group: str, topic: str) -> None:
    """Lets `group`, which has no members, go on with the first record that each partition of `topic` still has.

    Raises ReadError if there is no such topic, and what `move_group` raises.
    """
    move_group(settings, group, topic, stable_ranges(settings, [topic])[topic][0])


def move_group(settings: Settings, group: str, topic: str, positions: Mapping[int, int]) -> None:
    """Lets `group`, which has no members, go on at `positions`, by partition of `topic`.

    Raises:
        ServiceDownError: Kafka does not answer.
        KafkaException: the group has members.
    """
    check_listening(settings)
    moved = [TopicPartition(settings.prefixed(topic), partition, offset) for partition, offset in positions.items()]
    # By a consumer that doesn't join, which waits for a broker that makes the topic of groups' offsets only now.
    consumer = build_consumer(settings, group)
    try:
        for partition in consumer.commit(offsets=moved, asynchronous=False) or ():
            if partition.error is not None:
                raise KafkaException(partition.error)
    except KafkaException as error:
        raise explained(error, settings) from error
    finally:
        consumer.close()
