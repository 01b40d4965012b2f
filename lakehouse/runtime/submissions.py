"""Fences for work that somebody submits, waits for and may stop: one submission per try.

A try is an attempt of an Airflow task. When a task is cleared, its new try may submit before the old try's
stop arrives, and a try that was stopped may still be about to submit. So tries only grow, a stopped try never
submits, and a stop reaches its own try and older ones only. Callers hold `wanted.job_lock` of the work.
"""

from typing import Final

from lakehouse.runtime.wanted import connection
from lakehouse.settings import Settings

LEASE_SECONDS: Final = 60
"""Who waits for a submission renews its lease; when that ends, nobody waits any more and the work is stopped."""


class StaleTryError(RuntimeError):
    """A try wants to submit that was stopped, or that a newer try has replaced."""

    def __init__(self, work: str, try_number: int, reason: str) -> None:
        super().__init__(f"try {try_number} of {work} must not start: {reason}")


def claim(settings: Settings, work: str, try_number: int) -> None:
    """Allow `try_number` to submit, and no older one ever again. Raises `StaleTryError`."""
    key = settings.prefixed(work)
    with connection(settings) as database:
        newest = database.execute(
            "SELECT try, stopped FROM runtime.submissions WHERE work = %s ORDER BY try DESC LIMIT 1", [key]
        ).fetchone()
        if newest and newest[0] > try_number:
            raise StaleTryError(work, try_number, f"try {newest[0]} has replaced it")
        if newest and newest == (try_number, True):
            raise StaleTryError(work, try_number, "it was stopped")
        database.execute(
            """
            INSERT INTO runtime.submissions (work, try, lease_until) VALUES (%s, %s, now() + make_interval(secs => %s))
            ON CONFLICT (work, try) DO UPDATE SET lease_until = excluded.lease_until
            """,
            [key, try_number, LEASE_SECONDS],
        )


def mark_stopped(settings: Settings, work: str, try_number: int) -> None:
    """Keep `try_number` and older ones from submitting, also if they haven't yet."""
    with connection(settings) as database:
        database.execute(
            """
            INSERT INTO runtime.submissions (work, try, stopped, lease_until) VALUES (%s, %s, true, now())
            ON CONFLICT (work, try) DO UPDATE SET stopped = true
            """,
            [settings.prefixed(work), try_number],
        )
        database.execute(
            "UPDATE runtime.submissions SET stopped = true WHERE work = %s AND try < %s",
            [settings.prefixed(work), try_number],
        )


def renew(settings: Settings, work: str, try_number: int) -> None:
    """Say that somebody still waits for this try."""
    with connection(settings) as database:
        database.execute(
            """
            UPDATE runtime.submissions SET lease_until = now() + make_interval(secs => %s)
            WHERE work = %s AND try = %s
            """,
            [LEASE_SECONDS, settings.prefixed(work), try_number],
        )


def forgotten(settings: Settings) -> list[tuple[str, int]]:
    """Tries of this namespace whose lease has ended and that nobody has stopped, as (work, try)."""
    prefix = settings.prefixed("")
    with connection(settings) as database:
        rows = database.execute(
            "SELECT work, try FROM runtime.submissions WHERE NOT stopped AND lease_until < now()"
        ).fetchall()
    return [(work.removeprefix(prefix), number) for work, number in rows if work.startswith(prefix)]
