"""Noticing, while a consumer reads, that its topic has become another."""

from collections.abc import Mapping
from time import monotonic
from typing import Final

from lakehouse.kafka.topics import topic_ids
from lakehouse.losses.found import RecordsLostError, find_losses
from lakehouse.settings import Settings

LOOK_SECONDS: Final = 10.0


def require_same(settings: Settings, job: str, ids: Mapping[str, str]) -> None:
    """That each topic of `ids`, which `job` reads, has the id that it has there.

    An id never comes back: what was read before a call that returns was read of these topics.

    Raises:
        RecordsLostError: one was made anew.
        ReadError: there is one no more.
        ServiceDownError: Kafka does not answer.
    """
    if topic_ids(settings, ids) != ids:
        raise RecordsLostError(job, find_losses(settings, ids, {}, ids)[1])


class TopicWatch:
    """The topic that `job` reads, as it is when this is made.

    A consumer goes on at its offset in whatever has the topic's name, so it has to ask.

    Raises:
        ReadError: when it is made, there is no such topic.
        ServiceDownError: when it is made, Kafka does not answer.
    """

    def __init__(self, settings: Settings, job: str, topic: str) -> None:
        self._settings, self._job, self._topic = settings, job, topic
        self.topic_id = topic_ids(settings, [topic])[topic]
        self._looked = monotonic()

    def look(self, *, at_once: bool = False) -> None:
        """Looks whether the topic is the same, if `LOOK_SECONDS` have passed since it last did, or `at_once`. Raises as
        `require_same`."""
        if not at_once and monotonic() < self._looked + LOOK_SECONDS:
            return
        require_same(self._settings, self._job, {self._topic: self.topic_id})
        self._looked = monotonic()
