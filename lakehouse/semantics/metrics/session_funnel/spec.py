"""`marts.session_funnel`: per UTC day the sessions, and those that bought."""

from typing import Final

from lakehouse.contracts.columns import EVENT_DATE, REVENUE_CENTS, ROLLED_UP, Column, TableContract, Type
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.contracts.owners import BACKFILL
from lakehouse.semantics.scopes import Key, same

CONTRACT: Final = TableContract(
    "marts.session_funnel",
    BACKFILL,
    (
        EVENT_DATE,
        Column("sessions", Type.LONG),
        Column("sessions_with_click", Type.LONG),
        Column("sessions_with_purchase", Type.LONG),
        REVENUE_CENTS,
        *ROLLED_UP,
    ),
    ("event_date",),
    ("event_date",),
    ("silver.sessions", "silver.purchases"),
)

SCOPE: Final = same(None, {CLICKS.topic: Key(()), PURCHASES.topic: Key(())})
