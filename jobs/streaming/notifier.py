"""Posts alerts from ``shop.alerts`` to Slack and PagerDuty, at least once.

Each receiver has its own thread and consumer group, so that one that is down holds up nothing but itself. An alert
is committed after it was delivered: while its receiver is down it is tried again, and those behind it wait. What
was delivered is remembered in Redis for as long as Kafka keeps alerts, so that a replay does not post it twice. What is
no alert is logged with its position and passed over.
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import httpx
import redis
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from jobs.streaming.plain import serve, side_by_side
from lakehouse.alerts import Alert, notifier_receivers, pagerduty_event, parse_alert, slack_message
from lakehouse.contracts.events import PARTITIONS
from lakehouse.contracts.messages import MessageError
from lakehouse.kafka.commits import Commits
from lakehouse.kafka.consumer import NoSuchTopicError
from lakehouse.kafka.follower import Follower
from lakehouse.kafka.groups import begin_group, move_group
from lakehouse.kafka.topics import ALERTS
from lakehouse.losses import Loss, RecordsLostError, TopicWatch, find_losses, in_words
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

REMEMBERED_SECONDS: Final = 7 * 24 * 3600
MAX_WAIT_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 1.0
_REFUSED: Final = frozenset({400, 413, 422})
"""The receiver answers and refuses the alert itself: the same again would be refused again."""

log = logging.getLogger(__name__)


class NotDeliveredError(Exception):
    """The receiver did not take the alert; the message carries no address, which would hold a secret."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where alerts go. Without `url` they are only logged."""

    name: str
    url: str
    body: Callable[[Alert], dict[str, Any]]


def receivers(settings: Settings) -> list[Receiver]:
    """The receivers that the settings name; one that only logs if they name none."""
    routing_key = settings.pagerduty_routing_key.get_secret_value()
    known = {
        "slack": Receiver("slack", settings.slack_webhook_url.get_secret_value(), slack_message),
        "pagerduty": Receiver(
            "pagerduty", settings.pagerduty_webhook_url.get_secret_value(), lambda a: pagerduty_event(a, routing_key)
        ),
        "log": Receiver("log", "", slack_message),
    }
    return [known[name] for name in notifier_receivers(settings)]


def main() -> int:
    # At INFO it writes every address it posts to; a webhook's address is its password.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return serve(log, run)


def run(settings: Settings, stopping: threading.Event) -> None:
    """Notify until `stopping` is set, through outages of Kafka, Redis and the receivers."""
    side_by_side([partial(_serve, settings, receiver, stopping) for receiver in receivers(settings)], stopping)


def _serve(settings: Settings, receiver: Receiver, stopping: threading.Event) -> None:
    lost: Sequence[Loss] = ()
    while not stopping.is_set():
        try:
            _pass_over(settings, receiver, lost)
            lost = ()
            _notify(settings, receiver, stopping)
        except RecordsLostError as error:
            # Who is to be told of alerts must not stop for want of old ones.
            lost = error.losses
            log.error("%s: nobody is told of what Kafka has lost: %s", receiver.name, in_words(lost))
        except (KafkaException, ServiceDownError, NoSuchTopicError) as error:
            log.warning("%s: %s; trying again in %.0f s", receiver.name, error, _PAUSE_SECONDS)
            stopping.wait(_PAUSE_SECONDS)


def _pass_over(settings: Settings, receiver: Receiver, lost: Sequence[Loss]) -> None:
    """Lets the receiver's group go on behind what is lost, or at the beginning of a topic that was made anew."""
    if any(each.made_anew for each in lost):
        begin_group(settings, _group(receiver), ALERTS)
    elif lost:
        move_group(settings, _group(receiver), ALERTS, {e.partition: e.end for e in lost if e.end is not None})


def _group(receiver: Receiver) -> str:
    return f"notifier.{receiver.name}"


def _notify(settings: Settings, receiver: Receiver, stopping: threading.Event) -> None:
    topic = settings.prefixed(ALERTS)
    commits = Commits(topic)
    consumer = Follower(settings, _group(receiver), **commits.options)
    delivered = Delivered(settings, receiver.name)
    try:
        watch = TopicWatch(settings, _group(receiver), ALERTS)
        held = _committed(consumer, topic)
        _, losses = find_losses(settings, [ALERTS], {ALERTS: held}, {})
        if losses:
            raise RecordsLostError(_group(receiver), losses)
        # Assigned, not subscribed: a receiver may be down for hours while this thread tries instead of polling.
        consumer.assign([TopicPartition(topic, p, held.get(p, OFFSET_BEGINNING)) for p in range(PARTITIONS)])
        commits.push(consumer, held)
        with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
            while not stopping.is_set():
                watch.look()
                commits.push(consumer)
                message = consumer.poll(0.5)
                if message is None:
                    continue
                if error := message.error():
                    if error.code() == KafkaError._AUTO_OFFSET_RESET:
                        raise KafkaException(error)  # the next attempt finds out what is lost
                    log.warning("kafka: %s", error.str())
                elif _deliver(client, receiver, delivered, message, stopping):
                    commits.push(consumer, {cast(int, message.partition()): cast(int, message.offset()) + 1})
    finally:
        consumer.close()
        delivered.close()


def _committed(consumer: Follower, topic: str) -> dict[int, int]:
    """Where the group goes on. Kafka forgets it with the topic, so it is never the offset of another one."""
    partitions = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    found = consumer.committed(partitions, timeout=TIMEOUT_SECONDS)
    return {each.partition: each.offset for each in found if each.offset >= 0}


def _deliver(
    client: httpx.Client, receiver: Receiver, delivered: "Delivered", message: Message, stopping: threading.Event
) -> bool:
    """Whether the message is done with; not if `stopping` was set before the receiver took it."""
    try:
        alert = parse_alert(message.value())
    except MessageError as error:
        log.error("%s partition %s offset %s: %s", ALERTS, message.partition(), message.offset(), error)
        return True
    if alert.notice in delivered:
        log.info("%s: %s was delivered before", receiver.name, alert.notice)
        return True

    def report(state: RetryCallState) -> None:
        log.warning(
            "%s: %s not delivered, attempt %d: %s; again in %.1f s",
            receiver.name,
            alert.dedup_key,
            state.attempt_number,
            state.outcome.exception() if state.outcome else None,
            state.upcoming_sleep,
        )

    attempts = Retrying(
        retry=retry_if_exception_type(NotDeliveredError),
        wait=wait_random_exponential(multiplier=0.5, max=MAX_WAIT_SECONDS),
        stop=stop_when_event_set(stopping),
        sleep=sleep_using_event(stopping),
        before_sleep=report,
    )
    try:
        attempts(_post, client, receiver, alert)
    except RetryError:
        return False
    delivered.add(alert.notice)
    return True


def _post(client: httpx.Client, receiver: Receiver, alert: Alert) -> None:
    if not receiver.url:
        log.info("%s: %s", alert.state, alert.summary)
        return
    try:
        answer = client.post(receiver.url, json=receiver.body(alert))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDeliveredError(type(error).__name__) from None
    if answer.status_code in _REFUSED:
        log.error("%s: refused %s with status %d", receiver.name, alert.dedup_key, answer.status_code)
    elif not answer.is_success:
        raise NotDeliveredError(f"status {answer.status_code}")
    else:
        log.info("%s: delivered %s", receiver.name, alert.dedup_key)


class Delivered:
    """Remembers what a receiver took. While Redis is down nothing is remembered: an alert twice beats none."""

    def __init__(self, settings: Settings, receiver: str) -> None:
        self._prefix = settings.prefixed(f"notified:{receiver}:", ":")
        self._redis = redis.Redis(
            host=settings.host,
            port=settings.redis_port,
            password=settings.redis_password.get_secret_value(),
            socket_timeout=5,
        )

    def __contains__(self, dedup_key: str) -> bool:
        try:
            return bool(self._redis.exists(self._prefix + dedup_key))
        except redis.RedisError as error:
            log.warning("redis: %s; %s may be delivered twice", type(error).__name__, dedup_key)
            return False

    def add(self, dedup_key: str) -> None:
        try:
            self._redis.set(self._prefix + dedup_key, 1, ex=REMEMBERED_SECONDS)
        except redis.RedisError as error:
            log.warning("redis: %s; %s may be delivered twice", type(error).__name__, dedup_key)

    def close(self) -> None:
        self._redis.close()


if __name__ == "__main__":
    sys.exit(main())
