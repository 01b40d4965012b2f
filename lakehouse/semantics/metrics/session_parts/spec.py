"""`silver.session_parts`: sessions, cut every 4 hours."""

from typing import Final

from lakehouse.contracts.columns import EVENT_DATE, ROLLED_UP, Column, TableContract, Type
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION
from lakehouse.semantics.scopes import NaturalSession, same

CONTRACT: Final = TableContract(
    "silver.session_parts",
    SPARK_INGEST,
    (
        Column("user_id", Type.STRING),
        Column("session_start", Type.TIMESTAMP),
        Column("part", Type.INTEGER),
        Column("part_start", Type.TIMESTAMP),
        Column("part_end", Type.TIMESTAMP),
        Column("impressions", Type.LONG),
        Column("clicks", Type.LONG),
        *ROLLED_UP,
        EVENT_DATE,
    ),
    ("user_id", "session_start", "part"),
    ("event_date",),
    ("silver.clicks",),
)

RULE: Final = SESSION

SCOPE: Final = same(
    "session_start", {CLICKS.topic: NaturalSession(RULE.gap_ms, ("user_id",), ("part_start", "part_end"))}
)
