"""Sending alerts to ``shop.alerts``."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from lakehouse.alerts import Alert
from lakehouse.kafka.sender import Sender
from lakehouse.kafka.topics import ALERTS
from lakehouse.settings import Settings


def send_alerts(settings: Settings, alerts: Iterable[Alert]) -> None:
    """Sends them, those of an incident in their order; returns once Kafka has them.

    Raises ServiceDownError, DeliveryError.
    """
    with Sender(settings) as sender:
        sender.send([(ALERTS, each.incident.encode(), json.dumps(asdict(each)).encode()) for each in alerts])
