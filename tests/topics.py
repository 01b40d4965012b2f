"""What befalls topics."""

from collections.abc import Mapping

from confluent_kafka import TopicPartition

from lakehouse.kafka.offsets import admin_client
from lakehouse.kafka.topics import create_topics
from lakehouse.settings import Settings
from tests.waiting import until


def remove_records(settings: Settings, topic: str, before: Mapping[int, int]) -> None:
    """As retention does: of each partition what lies before an offset."""
    cuts, admin = [TopicPartition(settings.prefixed(topic), *each) for each in before.items()], admin_client(settings)
    for future in admin.delete_records(cuts).values():
        future.result(30)


def make_anew(settings: Settings, topic: str) -> None:
    """Deletes a topic and creates another of its name."""
    name, admin = settings.prefixed(topic), admin_client(settings)
    admin.delete_topics([name], operation_timeout=30)[name].result(30)
    until(lambda: name not in admin.list_topics(timeout=10).topics, 30, "the topic is gone")
    create_topics(settings)
