"""`silver.sessions`: a user's clicks and impressions less than 30 minutes apart."""

from dataclasses import dataclass
from typing import Final

from lakehouse.contracts.columns import EVENT_DATE, ROLLED_UP, Column, TableContract, Type
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.semantics.rules import Rule
from lakehouse.semantics.scopes import NaturalSession, same
from lakehouse.semantics.windows import HOUR, MINUTE

CONTRACT: Final = TableContract(
    "silver.sessions",
    SPARK_INGEST,
    (
        Column("user_id", Type.STRING),
        Column("session_start", Type.TIMESTAMP),
        Column("session_end", Type.TIMESTAMP),
        Column("duration_ms", Type.LONG),
        Column("impressions", Type.LONG),
        Column("clicks", Type.LONG),
        Column("anomalous", Type.BOOLEAN),
        *ROLLED_UP,
        EVENT_DATE,
    ),
    ("user_id", "session_start"),
    ("event_date",),
    ("silver.session_parts",),
)


@dataclass(frozen=True, slots=True)
class SessionRule(Rule):
    """A new session begins `gap_ms` after the event before, a new part each `part_ms`. A session is anomalous with more
    than `long_events` events, or longer than `long_ms`."""

    gap_ms: int = 30 * MINUTE
    part_ms: int = 4 * HOUR
    long_events: int = 1000
    long_ms: int = 4 * HOUR


RULE: Final = SessionRule()

SCOPE: Final = same(
    "session_start", {CLICKS.topic: NaturalSession(RULE.gap_ms, ("user_id",), ("session_start", "session_end"))}
)
