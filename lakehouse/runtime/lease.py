"""A lease: who does a job's work, so that a second process of it is refused on whatever machine it is started."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from lakehouse.settings import Settings

PATIENCE_SECONDS: Final = 10.0
"""PostgreSQL notices within this that a process was killed which had the lease."""
_POLL_SECONDS: Final = 0.25

_HOLDER: Final = """
SELECT application_name, backend_start
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%s, 0)
"""

log = logging.getLogger(__name__)


class LeaseHeldError(RuntimeError):
    """Another process does the work."""

    def __init__(self, job: str, holder: str) -> None:
        super().__init__(f"{job} runs already: {holder}; stop that one first, or this one is not needed")


@contextmanager
def lease(settings: Settings, job: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold `job` while the block runs, and PostgreSQL does: it frees what a process held that died, however it died.

    Where PostgreSQL does not answer, or stops, nobody is kept out: the work must bear that, as it must bear a process
    that was frozen and wakes up beside its successor.

    Raises:
        LeaseHeldError: another process has held it all the time.
    """
    key = "lease " + settings.prefixed(job)
    try:
        database = psycopg.connect(
            settings.postgres_dsn,
            connect_timeout=5,
            autocommit=True,
            application_name=f"{job} {socket.gethostname()[:30]}/{os.getpid()}",
        )
    except psycopg.OperationalError:
        log.warning("no lease of %s: PostgreSQL does not answer, and a second process would not be noticed", job)
        yield
        return
    with closing(database):
        _take(database, job, key, patience_seconds)
        yield


def _take(database: psycopg.Connection[TupleRow], job: str, key: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while not _one(database, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", key)[0]:
        if time.monotonic() > deadline:
            name, since = _one(database, _HOLDER, key) or ("another", None)
            raise LeaseHeldError(job, f"{name} since {since:%Y-%m-%d %H:%M:%S %Z}" if since else name)
        time.sleep(_POLL_SECONDS)


def _one(database: psycopg.Connection[TupleRow], query: Any, key: str) -> Any:
    return database.execute(query, [key]).fetchone()
