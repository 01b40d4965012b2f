"""Every topic and its configuration, and how they come to exist."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from lakehouse.contracts.events import EVENTS, PARTITIONS
from lakehouse.kafka.offsets import LATEST, TIMEOUT_SECONDS, admin_client, list_offsets, partition_counts
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

DASHBOARD: Final = "shop.dashboard"
"""Upserts of the live values, keyed by row; a writer carries them into Redis."""
ALERTS: Final = "shop.alerts"

_DAY_MS: Final = 24 * 3_600_000
_COMMON: Final = {
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(2 * 1024 * 1024),
}
_SEVEN_DAYS: Final = {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)}
_FOR_EVER: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_COMPACTED: Final = {"cleanup.policy": "compact"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be. `name` is without namespace."""

    name: str
    config: Mapping[str, str] = field(default_factory=dict)
    partitions: int = PARTITIONS


TOPICS: Final = {
    topic.name: topic
    for topic in (
        *(Topic(c.topic, _COMMON | (_FOR_EVER if c.changelog else _SEVEN_DAYS)) for c in EVENTS.values()),
        Topic(DASHBOARD, _COMMON | _COMPACTED),
        Topic(ALERTS, _COMMON | _SEVEN_DAYS),
    )
}
"""Topics by name."""


class PartitionCountError(RuntimeError):
    """An existing topic has another number of partitions than its declaration."""

    def __init__(self, topic: str, actual: int, declared: int) -> None:
        super().__init__(
            f"topic {topic} has {actual} partitions and must have {declared}: the count decides where keys live and "
            f"never changes; delete the topic, or set LAKEHOUSE_NAMESPACE to another tenant"
        )


def create_topics(settings: Settings) -> list[str]:
    """Create what is missing and correct the configuration of what exists; returns the names created.

    The topics can be written and read when this returns.

    Raises:
        PartitionCountError: a topic exists with another partition count; nothing was created then.
        ServiceDownError: Kafka does not answer.
    """
    admin = admin_client(settings)
    wanted = {settings.prefixed(topic.name): topic for topic in TOPICS.values()}
    existing = partition_counts(settings)
    _check_partitions(wanted, existing)
    created = _create(admin, {name: topic for name, topic in wanted.items() if name not in existing})
    every = [TopicPartition(name, p) for name, topic in wanted.items() for p in range(topic.partitions)]
    list_offsets(settings, every, LATEST)
    if len(created) < len(wanted):
        # Those that somebody else created in the meantime too: nobody says that it was by this declaration.
        _check_partitions(wanted, partition_counts(settings))
        _correct_configs(admin, {name: topic for name, topic in wanted.items() if topic.name not in created})
    return created


def _check_partitions(wanted: Mapping[str, Topic], existing: Mapping[str, int]) -> None:
    for name, topic in wanted.items():
        actual = existing.get(name, topic.partitions)
        if actual != topic.partitions:
            raise PartitionCountError(name, actual, topic.partitions)


def _create(admin: AdminClient, topics: Mapping[str, Topic]) -> list[str]:
    created = []
    new = [NewTopic(n, t.partitions, replication_factor=1, config=dict(t.config)) for n, t in topics.items()]
    for name, future in (admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS) if new else {}).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        else:
            created.append(topics[name].name)
    return created


def _correct_configs(admin: AdminClient, topics: Mapping[str, Topic]) -> None:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    changes = []
    for resource, future in admin.describe_configs(resources).items():
        actual = future.result(TIMEOUT_SECONDS)
        differing = {key: value for key, value in topics[resource.name].config.items() if actual[key].value != value}
        if differing:
            entries = [
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in differing.items()
            ]
            changes.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=entries))
    if changes:
        for future in admin.incremental_alter_configs(changes).values():
            future.result(TIMEOUT_SECONDS)


def topic_ids(settings: Settings, topics: Iterable[str]) -> dict[str, str]:
    """The id that Kafka gave each topic when it was created; a topic of the same name later has another."""
    names = {settings.prefixed(topic): topic for topic in topics}
    admin = admin_client(settings)
    try:
        described = admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_SECONDS)
        return {names[name]: str(future.result(TIMEOUT_SECONDS).topic_id) for name, future in described.items()}
    except KafkaException as error:
        raise ServiceDownError("kafka", settings.kafka_bootstrap) from error
