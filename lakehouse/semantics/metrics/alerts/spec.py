"""`gold.alerts`: what is true of the rows of other tables, to be held against what was said."""

from dataclasses import dataclass
from typing import Final

from lakehouse.contracts.columns import WINDOW, Column, Type, gold
from lakehouse.contracts.events import CLICKS, PURCHASES, TRANSACTIONS
from lakehouse.semantics.rules import Rule
from lakehouse.semantics.scopes import Aligned, Key, same
from lakehouse.semantics.windows import HOUR

CONTRACT: Final = gold(
    "alerts",
    ("gold.product_metrics_5m", "silver.sessions", "gold.fraud_decisions"),
    (
        Column("rule", Type.STRING),
        Column("key", Type.STRING),
        *WINDOW,
        Column("event_id", Type.STRING, nullable=True),
        Column("event_time", Type.TIMESTAMP, nullable=True),
    ),
    ("rule", "key", "window_start", "event_id", "event_time"),
)


@dataclass(frozen=True, slots=True)
class AnomalyRule(Rule):
    """A window is anomalous from so many impressions on, if more than half of them were clicked."""

    impressions: int = 20


RULE: Final = AnomalyRule()

SCOPE: Final = same("window_start", {CLICKS.topic: Key(()), PURCHASES.topic: Key(()), TRANSACTIONS.topic: Key(())})

FOLLOWED: Final = dict.fromkeys(CONTRACT.reads, Aligned(HOUR, ()))
"""An alert is about a row there, of whose time it has the window, the session's start or the hour."""
