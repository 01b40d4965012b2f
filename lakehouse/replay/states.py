"""How far a replay can have come, and where that is kept: PostgreSQL, schema ``replay``.

Imports no engine: Airflow's processes load it with their plugins.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from lakehouse.runtime.wanted import connection
from lakehouse.settings import Settings

_SCHEMA: Final = Path(__file__).with_name("schema.sql")
_NEWEST: Final = """
SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('replay.change_sets') AND attname = 'awaited_until'
"""
"""Answers where nothing of the schema is missing: to run it would wait for whoever uses the tables."""


class State(StrEnum):
    PLANNED = "planned"
    APPROVED = "approved"
    RECOMPUTED = "recomputed"
    COMPARED = "compared"
    SWAPPING = "swapping"
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    CANCELLED = "cancelled"
    FAILED = "failed"


BEFORE_THE_SWAP: Final = (State.PLANNED, State.APPROVED, State.RECOMPUTED, State.COMPARED)
"""States of replays of which nothing was handed to the tables' owner."""
OPEN: Final = (*BEFORE_THE_SWAP, State.SWAPPING, State.UNDOING)
"""States of replays that will still write, or may."""


class Kind(StrEnum):
    SWAP = "swap"
    UNDO = "undo"


class ReplayError(RuntimeError):
    """A replay can't do what was asked of it; the message says why. Nothing was touched."""


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection whose block is one transaction, to a schema that is as it should be. Raises ServiceDownError."""
    with connection(settings) as opened:
        if opened.execute(_NEWEST).fetchone() is None:
            opened.execute(_SCHEMA.read_bytes())
        yield opened
