"""`gold.fraud_decisions`: each transaction, flagged and blocked or not."""

from dataclasses import dataclass
from typing import Final

from lakehouse.contracts.columns import Column, Type, gold
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.semantics.rules import Rule
from lakehouse.semantics.scopes import IntervalAround, MetricScope
from lakehouse.semantics.windows import HOUR, MINUTE

CONTRACT: Final = gold(
    "fraud_decisions",
    ("silver.transactions",),
    (
        Column("event_id", Type.STRING),
        Column("event_time", Type.TIMESTAMP),
        Column("user_id", Type.STRING),
        Column("amount_cents", Type.LONG),
        Column("transactions_10m", Type.LONG),
        Column("transactions_1h", Type.LONG),
        Column("trigger_time", Type.TIMESTAMP, nullable=True),
        Column("flagged", Type.BOOLEAN),
        Column("blocked", Type.BOOLEAN),
    ),
    ("user_id", "event_id", "event_time"),
)


@dataclass(frozen=True, slots=True)
class FraudRule(Rule):
    """One is flagged when it is the `flag_count`-th or later in ``(t - flag_ms, t]``, a trigger when it is the
    `trigger_count`-th or later in ``(t - trigger_ms, t]``. A trigger blocks what lies less than `block_ms` after it."""

    flag_ms: int = 10 * MINUTE
    flag_count: int = 6
    trigger_ms: int = HOUR
    trigger_count: int = 11
    block_ms: int = HOUR

    @property
    def reach_ms(self) -> int:
        """How far before a transaction lies the first that can matter to it: counted a millisecond less than an hour
        before a trigger that lies a millisecond less than an hour before it."""
        return self.trigger_ms + self.block_ms - 2


RULE: Final = FraudRule()

SCOPE: Final = MetricScope(
    "event_time",
    affected={TRANSACTIONS.topic: IntervalAround(0, RULE.reach_ms, ("user_id",))},
    needs={TRANSACTIONS.topic: IntervalAround(RULE.reach_ms, 0, ("user_id",))},
)
