"""Alerts as ``shop.alerts`` carries them, and how Slack and PagerDuty want to hear of them."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lakehouse.settings import Settings

OPENED: Final = "opened"
WITHDRAWN: Final = "withdrawn"

_PAGERDUTY_KEY_LENGTH: Final = 255


@dataclass(frozen=True, slots=True)
class Alert:
    """A window's click-through rate became anomalous (`OPENED`) or no longer is (`WITHDRAWN`).

    Times are epoch milliseconds; the counts are the window's at that moment. `dedup_key` names this one turn:
    an alert may open again.
    """

    rule: str
    product_id: str
    window_start: int
    window_end: int
    state: str
    impressions: int
    clicks: int
    events: int
    dedup_key: str

    @property
    def incident(self) -> str:
        """What opens and is withdrawn: rule, window and product."""
        return f"{self.rule}/{self.window_start}/{self.product_id}"

    @property
    def summary(self) -> str:
        """One line for people."""
        start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (self.window_start, self.window_end))
        return (
            f"Click-through rate of {self.product_id} {'is' if self.state == OPENED else 'no longer is'} anomalous: "
            f"{self.clicks} clicks on {self.impressions} impressions, {start:%Y-%m-%d %H:%M}-{end:%H:%M} UTC"
        )


def parse_alert(message: bytes) -> Alert:
    """The alert that a message of ``shop.alerts`` carries.

    Raises:
        ValueError: it is not one.
    """
    try:
        alert = Alert(**json.loads(message))
    except (TypeError, ValueError) as error:
        raise ValueError(f"not an alert: {error}") from error
    if alert.state not in (OPENED, WITHDRAWN):
        raise ValueError(f"not an alert: unknown state {alert.state!r}")
    return alert


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """What the messages of ``shop.alerts`` come to."""

    turns: Counter[str]
    """By state, how many turns led to it; one that was sent again counts once."""
    open: list[Alert]
    """The last turn of each incident that it left open."""


def alert_history(messages: Iterable[bytes | None]) -> AlertHistory:
    """Folds `messages`, those of an incident in their order: they lie in one partition.

    Raises:
        ValueError: one of them is not an alert.
    """
    turns: dict[str, str] = {}
    last: dict[str, Alert] = {}
    for message in messages:
        alert = parse_alert(message or b"")
        turns[alert.dedup_key] = alert.state
        last[alert.incident] = alert
    return AlertHistory(Counter(turns.values()), [alert for alert in last.values() if alert.state == OPENED])


def notifier_receivers(settings: Settings) -> list[str]:
    """The receivers that the settings name, ``log`` if they name none."""
    urls = {"slack": settings.slack_webhook_url, "pagerduty": settings.pagerduty_webhook_url}
    return [name for name, url in urls.items() if url.get_secret_value()] or ["log"]


def notifier_groups(settings: Settings) -> list[str]:
    """The notifier's consumer groups, without namespace: each receiver goes at its own pace."""
    return [f"notifier.{receiver}" for receiver in notifier_receivers(settings)]


def slack_message(alert: Alert) -> dict[str, Any]:
    """The body for a Slack incoming webhook."""
    text = alert.summary.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    mark = ":rotating_light:" if alert.state == OPENED else ":white_check_mark:"
    return {"text": f"{mark} {text}"}


def pagerduty_event(alert: Alert, routing_key: str) -> dict[str, Any]:
    """The body for PagerDuty's Events API v2: an incident per (rule, window, product), opened and resolved."""
    key = alert.incident
    if len(key) > _PAGERDUTY_KEY_LENGTH:
        key = hashlib.sha256(key.encode()).hexdigest()
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger" if alert.state == OPENED else "resolve",
        "dedup_key": key,
    }
    if alert.state == OPENED:
        event["payload"] = {
            "summary": alert.summary[:1024],
            "source": alert.rule,
            "severity": "warning",
            "timestamp": datetime.fromtimestamp(alert.window_end / 1000, UTC).isoformat(),
            "custom_details": {
                "product_id": alert.product_id,
                "impressions": alert.impressions,
                "clicks": alert.clicks,
                "events": alert.events,
            },
        }
    return event
