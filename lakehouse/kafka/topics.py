"""Every topic and its configuration, and how they come to exist."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from lakehouse.contracts.events import EVENTS, PARTITIONS
from lakehouse.kafka.consumer import NoSuchTopicError
from lakehouse.kafka.offsets import LATEST, TIMEOUT_SECONDS, admin_client, list_offsets, partition_counts
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

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
_JUDGED_BY_ARRIVAL: Final = ("message.timestamp.type", "cleanup.policy")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created. `name` is without namespace.

    What the lakehouse computes rests on its `partitions` and on the settings named in `required`: an existing topic
    must have these. The others are proposals.
    """

    name: str
    config: Mapping[str, str]
    required: tuple[str, ...]
    partitions: int = PARTITIONS


TOPICS: Final = {
    topic.name: topic
    for topic in (
        *(
            # A changelog is read from its beginning whenever state is made anew.
            Topic(c.topic, _COMMON | _FOR_EVER, (*_JUDGED_BY_ARRIVAL, "retention.ms", "retention.bytes"))
            if c.changelog
            else Topic(c.topic, _COMMON | _SEVEN_DAYS, _JUDGED_BY_ARRIVAL)
            for c in EVENTS.values()
        ),
        # A Redis that was lost is filled again from the newest value of each row.
        Topic(DASHBOARD, _COMMON | _COMPACTED, ("cleanup.policy",)),
        Topic(ALERTS, _COMMON | _SEVEN_DAYS, ()),
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


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of an existing topic (its name with namespace) that is not as it is created here."""

    topic: str
    setting: str
    actual: str
    declared: str
    required: bool

    def __str__(self) -> str:
        relation = "and must be" if self.required else "not"
        return f"{self.topic}: {self.setting} is {self.actual}, {relation} {self.declared}"


class TopicSettingsError(RuntimeError):
    """Existing topics have settings with which the tables would be wrong."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        named = "; ".join(map(str, differences))
        first = differences[0]
        super().__init__(
            f"{named}. What is computed rests on this. Set it where the topic is managed (kafka-configs --alter --topic"
            f" {first.topic} --add-config {first.setting}={first.declared}), or take another LAKEHOUSE_NAMESPACE"
        )
        self.differences = tuple(differences)


def create_topics(settings: Settings) -> list[str]:
    """Creates what is missing; returns the names created. What exists is left as somebody has set it: other settings
    than ours are told in the log.

    The topics can be written and read when this returns.

    Raises:
        PartitionCountError, TopicSettingsError: an existing topic can't be used; nothing was created then.
        ServiceDownError: Kafka does not answer.
    """
    admin = admin_client(settings)
    wanted = {settings.prefixed(topic.name): topic for topic in TOPICS.values()}
    existing = partition_counts(settings)
    _check(admin, {name: topic for name, topic in wanted.items() if name in existing}, existing)
    created = _create(admin, {name: topic for name, topic in wanted.items() if name not in existing})
    every = [TopicPartition(name, p) for name, topic in wanted.items() for p in range(topic.partitions)]
    list_offsets(settings, every, LATEST)
    # Those that somebody else created in the meantime: nobody says that it was by this declaration.
    others = {name: t for name, t in wanted.items() if name not in existing and t.name not in created}
    if others:
        _check(admin, others, partition_counts(settings))
    return created


def _check(admin: AdminClient, topics: Mapping[str, Topic], existing: Mapping[str, int]) -> None:
    """Refuses topics that can't be used, and tells what else of their settings is not ours."""
    for name, topic in topics.items():
        if existing[name] != topic.partitions:
            raise PartitionCountError(name, existing[name], topic.partitions)
    differing = differences(admin, topics)
    if wrong := [each for each in differing if each.required]:
        raise TopicSettingsError(wrong)
    for each in differing:
        log.warning("topic %s; it is left as it is", each)


def differences(admin: AdminClient, topics: Mapping[str, Topic]) -> list[Difference]:
    """The settings of existing topics, by their names with namespace, that are not as declared."""
    if not topics:
        return []
    found = []
    described = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in topics])
    for resource, future in described.items():
        actual, topic = future.result(TIMEOUT_SECONDS), topics[resource.name]
        for setting, declared in topic.config.items():
            if actual[setting].value != declared:
                required = setting in topic.required
                found.append(Difference(resource.name, setting, actual[setting].value, declared, required))
    return found


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


def topic_ids(settings: Settings, topics: Iterable[str]) -> dict[str, str]:
    """The id that Kafka gave each topic when it was created; a topic of the same name later has another.

    Raises:
        ReadError: there is no such topic.
        ServiceDownError: Kafka does not answer.
    """
    names = {settings.prefixed(topic): topic for topic in topics}
    admin, found = admin_client(settings), {}
    described = admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_SECONDS)
    for name, future in described.items():
        try:
            found[names[name]] = str(future.result(TIMEOUT_SECONDS).topic_id)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NoSuchTopicError(name) from error
            raise ServiceDownError("kafka", settings.kafka_bootstrap) from error
    return found
