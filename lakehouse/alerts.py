"""Alerts as ``shop.alerts`` carries them, and how Slack and PagerDuty want to hear of them."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from lakehouse.contracts.messages import Count, Id, Milliseconds, Text, parse_message
from lakehouse.settings import Settings

OPENED: Final = "opened"
WITHDRAWN: Final = "withdrawn"

CTR_ANOMALY: Final = "ctr_anomaly"
FRAUD_FLAGGED: Final = "fraud_flagged"
FRAUD_BLOCKED: Final = "fraud_blocked"
QUALITY_FAILED: Final = "quality_failed"
PARITY_DIFFERS: Final = "parity_differs"

State = Literal["opened", "withdrawn"]
TableRule = Literal["quality_failed", "parity_differs"]

_PAGERDUTY_KEY_LENGTH: Final = 255
_SAYS_LENGTH: Final = 900
_TABLE_STATES: Final[dict[TableRule, tuple[str, str]]] = {
    QUALITY_FAILED: ("is not as expected", "is as expected again"),
    PARITY_DIFFERS: ("differs from the reference", "no longer differs from the reference"),
}
"""How a table is while an alert is open, and once it is withdrawn."""


@dataclass(frozen=True, slots=True)
class CtrAlert:
    """A window's click-through rate became anomalous (`OPENED`) or no longer is (`WITHDRAWN`).

    Times are epoch milliseconds; the counts are the window's at that moment. `dedup_key` names this one turn:
    an alert may open again.
    """

    rule: Literal["ctr_anomaly"]
    product_id: Id
    window_start: Milliseconds
    window_end: Milliseconds
    state: State
    impressions: Count
    clicks: Count
    events: Count
    dedup_key: Text

    @property
    def incident(self) -> str:
        """What opens and is withdrawn: rule, window and product."""
        return f"{self.rule}/{self.window_start}/{self.product_id}"

    @property
    def notice(self) -> str:
        """What a receiver hears of once: this turn."""
        return self.dedup_key

    @property
    def at(self) -> int:
        """The moment that it is about."""
        return self.window_end

    @property
    def summary(self) -> str:
        """One line for people."""
        start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (self.window_start, self.window_end))
        return (
            f"Click-through rate of {self.product_id} {'is' if self.state == OPENED else 'no longer is'} anomalous: "
            f"{self.clicks} clicks on {self.impressions} impressions, {start:%Y-%m-%d %H:%M}-{end:%H:%M} UTC"
        )

    @property
    def details(self) -> dict[str, str | int]:
        """What else there is to know."""
        return {name: getattr(self, name) for name in ("product_id", "impressions", "clicks", "events")}


@dataclass(frozen=True, slots=True)
class FraudAlert:
    """A transaction was flagged (`FRAUD_FLAGGED`) or blocked (`FRAUD_BLOCKED`); it is never withdrawn.

    Times are epoch milliseconds. The window is the hour that the transaction lies in, the counts are those of its user
    in the 10 minutes and in the hour up to it. `dedup_key` names the decision.
    """

    rule: Literal["fraud_flagged", "fraud_blocked"]
    user_id: Id
    window_start: Milliseconds
    window_end: Milliseconds
    state: State
    event_id: Id
    event_time: Milliseconds
    amount_cents: Count
    transactions_10m: Count
    transactions_1h: Count
    dedup_key: Text

    @property
    def incident(self) -> str:
        """What people deal with as one: rule, hour and user."""
        return f"{self.rule}/{self.window_start}/{self.user_id}"

    @property
    def notice(self) -> str:
        """What a receiver hears of once: a burst would ring a bell per transaction."""
        return self.incident

    @property
    def at(self) -> int:
        """The moment that it is about."""
        return self.window_end

    @property
    def summary(self) -> str:
        """One line for people."""
        at = datetime.fromtimestamp(self.event_time / 1000, UTC)
        what, counted = (
            ("blocked", f"{self.transactions_1h} transactions in an hour")
            if self.rule == FRAUD_BLOCKED
            else ("flagged", f"{self.transactions_10m} transactions in 10 minutes")
        )
        return f"Transaction {self.event_id} of {self.user_id} was {what}: {counted}, {at:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def details(self) -> dict[str, str | int]:
        """What else there is to know."""
        names = ("user_id", "event_id", "amount_cents", "transactions_10m", "transactions_1h")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class TableAlert:
    """A table has failed its check (`QUALITY_FAILED`) or differs from the reference (`PARITY_DIFFERS`), `OPENED`; or
    no longer does, `WITHDRAWN`.

    `since`: epoch milliseconds of the first of the checks that found it so, which tells this turn from others of its
    rule, table and `day` (the only one that was checked, as YYYY-MM-DD, or None). `says`: what was found.
    """

    rule: TableRule
    table: Id
    day: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None
    since: Milliseconds
    state: State
    says: Text
    dedup_key: Text

    @classmethod
    def turn(
        cls, rule: TableRule, table: str, since: datetime, state: State, says: str, day: date | None = None
    ) -> "TableAlert":
        """With its key: the same turn is sent by each check that finds it."""
        ms, said = round(since.timestamp() * 1000), day.isoformat() if day else None
        key = f"{rule}/{table}/{said or 'all'}/{ms}/{state}"
        one_line = "".join(c if c.isprintable() else " " for c in says[:_SAYS_LENGTH])  # it may quote a row's key
        return cls(rule, table, said, ms, state, one_line, key)

    @property
    def incident(self) -> str:
        """What opens and is withdrawn: rule, table and day."""
        return f"{self.rule}/{self.table}/{self.day or 'all'}"

    @property
    def notice(self) -> str:
        """What a receiver hears of once: this turn."""
        return self.dedup_key

    @property
    def at(self) -> int:
        """The moment that it is about."""
        return self.since

    @property
    def summary(self) -> str:
        """One line for people."""
        checked = f"{self.table}, {self.day}" if self.day else self.table
        is_wrong, is_right = _TABLE_STATES[self.rule]
        return f"{checked} {is_wrong}: {self.says}" if self.state == OPENED else f"{checked} {is_right}"

    @property
    def details(self) -> dict[str, str | int]:
        """What else there is to know."""
        return {"table": self.table, "day": self.day or "all"}


Alert: TypeAlias = CtrAlert | FraudAlert | TableAlert

_ALERT: Final[TypeAdapter[Alert]] = TypeAdapter(Annotated[Alert, Field(discriminator="rule")])


def parse_alert(message: bytes | None) -> Alert:
    """The alert that a message of ``shop.alerts`` carries: one that every receiver can render.

    Anybody may write to the topic, so this is how everybody reads it (`lakehouse.kafka.alerts.alerts_of`).

    Raises:
        MessageError: it is not one.
    """
    return parse_message(_ALERT, message, "an alert")


@dataclass(frozen=True, slots=True)
class AlertHistory:
    """What the alerts about click-through rates come to, which open and are withdrawn."""

    turns: Counter[str]
    """By state, how many turns led to it; one that was sent again counts once."""
    open: list[CtrAlert]
    """The last turn of each incident that it left open."""


def alert_history(alerts: Iterable[Alert]) -> AlertHistory:
    """Folds alerts, those of an incident in their order: they lie in one partition."""
    turns: dict[str, str] = {}
    last: dict[str, CtrAlert] = {}
    for alert in alerts:
        if not isinstance(alert, CtrAlert):
            continue
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
    """The body for PagerDuty's Events API v2: an incident per rule, window and product or user, or table."""
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
            "timestamp": datetime.fromtimestamp(alert.at / 1000, UTC).isoformat(),
            "custom_details": alert.details,
        }
    return event
