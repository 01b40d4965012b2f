"""`silver.transactions`: each transaction once."""

from typing import Final

from lakehouse.contracts.columns import silver_events
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.semantics.scopes import IntervalAround, same

CONTRACT: Final = silver_events(TRANSACTIONS)

SCOPE: Final = same("event_time", {TRANSACTIONS.topic: IntervalAround(0, 0, ("user_id",))})
