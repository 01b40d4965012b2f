"""What operators want: which jobs run, and which generation of its state each one writes.

In PostgreSQL, schema ``runtime``. Stopping writes here first and acts afterwards, so that nothing revives
what somebody stopped. Names carry the namespace: tenants share the schema.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, LiteralString

import psycopg
from psycopg.rows import TupleRow

from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

MIGRATION: Final[LiteralString] = """
SELECT pg_advisory_xact_lock(hashtext('runtime schema'));
CREATE SCHEMA IF NOT EXISTS runtime;
CREATE TABLE IF NOT EXISTS runtime.jobs (
    job text PRIMARY KEY,
    wanted text NOT NULL DEFAULT 'stopped' CHECK (wanted IN ('running', 'stopped')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    generation integer NOT NULL DEFAULT 0 CHECK (generation >= 0)
);
CREATE TABLE IF NOT EXISTS runtime.submissions (
    work text NOT NULL,
    try integer NOT NULL CHECK (try > 0),
    stopped boolean NOT NULL DEFAULT false,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (work, try)
);
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'runtime.jobs'::regclass AND attname = 'code') THEN
        ALTER TABLE runtime.jobs ADD COLUMN code text;
    END IF;
END $$;
"""
"""Repeatable; the lock is there because two CREATE IF NOT EXISTS at once may collide. An ALTER that changes nothing
would still wait for whoever reads the table, a frozen process say."""


class Wanted(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WantedState:
    """`generation` counts the new states that the job began from; 0: it never started."""

    wanted: Wanted
    generation: int
    changed_at: datetime | None = None
    changed_by: str = ""


class JobBusyError(RuntimeError):
    """Somebody else starts, stops or reconciles the job at this moment."""

    def __init__(self, job: str) -> None:
        super().__init__(f"{job} is being started or stopped by somebody else; try again when that has ended")


@contextmanager
def connection(settings: Settings) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection whose block is one transaction. Raises `ServiceDownError`."""
    try:
        opened = psycopg.connect(settings.postgres_dsn, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise ServiceDownError("postgres", f"{settings.host}:{settings.postgres_port}") from error
    with opened:
        yield opened


def migrate(settings: Settings) -> None:
    """Create what is missing of schema ``runtime``."""
    with connection(settings) as database:
        database.execute(MIGRATION)


def wanted_state(settings: Settings, job: str) -> WantedState:
    """What is wanted of `job`; stopped, if nobody ever asked for it."""
    with connection(settings) as database:
        row = database.execute(
            "SELECT wanted, generation, changed_at, changed_by FROM runtime.jobs WHERE job = %s",
            [settings.prefixed(job)],
        ).fetchone()
    return WantedState(Wanted(row[0]), *row[1:]) if row else WantedState(Wanted.STOPPED, 0)


def set_wanted(settings: Settings, job: str, wanted: Wanted, by: str) -> None:
    """Write down that `by` wants `job` running or stopped; a wish that stands already keeps its date."""
    with connection(settings) as database:
        database.execute(
            """
            INSERT INTO runtime.jobs AS known (job, wanted, changed_by) VALUES (%s, %s, %s)
            ON CONFLICT (job) DO UPDATE
            SET wanted = excluded.wanted, changed_by = excluded.changed_by, changed_at = now()
            WHERE known.wanted <> excluded.wanted
            """,
            [settings.prefixed(job), wanted.value, by],
        )


def raise_generation(settings: Settings, job: str) -> int:
    """The next generation of `job`, for a start from new state: no checkpoint, so no counter goes on.

    A start that fails after this leaves a gap, which harms nothing: generations need only grow.
    """
    with connection(settings) as database:
        row = database.execute(
            """
            INSERT INTO runtime.jobs AS known (job, generation, changed_by) VALUES (%s, 1, 'submission')
            ON CONFLICT (job) DO UPDATE SET generation = known.generation + 1
            RETURNING generation
            """,
            [settings.prefixed(job)],
        ).fetchone()
    assert row is not None  # noqa: S101  RETURNING of an upsert always has a row
    return int(row[0])


@contextmanager
def job_lock(settings: Settings, job: str, *, wait: bool = True) -> Iterator[None]:
    """Hold `job` (or a piece of work) against everybody else who starts, stops or reconciles it.

    PostgreSQL frees the lock when this process dies, however it dies.

    Raises:
        JobBusyError: with `wait` false, somebody else holds it.
    """
    key: list[Any] = ["runtime job " + settings.prefixed(job)]
    with connection(settings) as database:
        if wait:
            database.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", key)
        else:
            row = database.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", key).fetchone()
            if not (row and row[0]):
                raise JobBusyError(job)
        yield
