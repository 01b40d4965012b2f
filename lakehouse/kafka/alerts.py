"""Alerts in ``shop.alerts``: sending them, and telling them from all else that anybody has written there."""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from lakehouse.alerts import Alert, parse_alert
from lakehouse.contracts.messages import MessageError
from lakehouse.kafka.consumer import Record
from lakehouse.kafka.sender import Sender
from lakehouse.kafka.topics import ALERTS
from lakehouse.settings import Settings

_log = logging.getLogger(__name__)


def send_alerts(settings: Settings, alerts: Iterable[Alert]) -> None:
    """Sends them, those of an incident in their order; returns once Kafka has them.

    Raises ServiceDownError, DeliveryError.
    """
    with Sender(settings) as sender:
        sender.send([(ALERTS, each.incident.encode(), json.dumps(asdict(each)).encode()) for each in alerts])


def alerts_of(records: Iterable[Record]) -> Iterator[Alert]:
    """The alerts among records of the topic, in their order. What is none is logged and left out."""
    for record in records:
        try:
            yield parse_alert(record.value)
        except MessageError as error:
            _log.warning("%s partition %d offset %d: %s", ALERTS, record.partition, record.offset, error)
