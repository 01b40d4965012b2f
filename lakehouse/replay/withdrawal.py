"""Whatever ends an Airflow run withdraws what the run had asked for: a replay, or the undo of one.

A replay notes the run that planned it, and the run that wants it undone; a run is named ``dag/run``. What the owner of
the tables has begun to put in place can't be withdrawn any more.
"""

from collections.abc import Callable
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from lakehouse.replay.states import BEFORE_THE_SWAP, OPEN, Kind, State, connected
from lakehouse.settings import Settings

_STREAMED: Final = """plan @? '$.touched[*] ? (!(@.table starts with "marts."))'"""
"""Whether a plan's rows go through the hands of the stream's owner; it is the first to get any."""


def take_back(database: psycopg.Connection[TupleRow], number: int) -> State | None:
    """Ends a replay, or its undo, of which nothing was put in place; its new state. None: something was, or may be at
    this moment, or there is nothing to end."""
    row = database.execute(
        f"SELECT state, {_STREAMED} FROM replay.replays WHERE id = %s FOR UPDATE",  # noqa: S608  a constant
        [number],
    ).fetchone()
    if row is None:
        return None
    state, streamed = State(row[0]), row[1]
    undoing = state is State.UNDOING
    if state in (State.SWAPPING, State.UNDOING):
        handed = database.execute(
            "SELECT state = 'waiting' AND attempts = 0 FROM replay.change_sets "
            "WHERE replay = %s AND kind = %s AND state <> 'withdrawn' FOR UPDATE",
            [number, Kind.UNDO if undoing else Kind.SWAP],
        ).fetchone()
        # Without a change set its process is about to hand one over, which fails from now on; or there will be none,
        # and it publishes marts.
        if not (handed[0] if handed else streamed):
            return None
    elif state not in BEFORE_THE_SWAP:
        return None
    after = State.DONE if undoing else State.CANCELLED
    database.execute(
        "UPDATE replay.change_sets SET state = 'withdrawn' WHERE replay = %s AND state = 'waiting'", [number]
    )
    database.execute(
        "UPDATE replay.replays SET state = %s, changed_at = clock_timestamp() WHERE id = %s", [after, number]
    )
    return after


def ask_undo(settings: Settings, number: int, run: str) -> None:
    """Notes that `run` wants a replay undone. Raises ServiceDownError."""
    with connected(settings) as database:
        database.execute(
            "UPDATE replay.replays SET undo_run = %s WHERE id = %s AND namespace = %s",
            [run, number, settings.namespace],
        )


def open_for_runs(settings: Settings) -> list[tuple[int, str]]:
    """The replays that are open, or being undone, because a run has asked for it; and the run. Raises
    ServiceDownError."""
    with connected(settings) as database:
        return database.execute(
            """
            SELECT * FROM (
                SELECT id, CASE state WHEN 'undoing' THEN undo_run ELSE run END AS asked_by FROM replay.replays
                WHERE namespace = %s AND state = ANY(%s)
            ) AS found WHERE asked_by IS NOT NULL ORDER BY id
            """,
            [settings.namespace, list(OPEN)],
        ).fetchall()


def withdraw(settings: Settings, run: str) -> list[int]:
    """Takes back what `run` has asked for, as far as nothing of it was put in place; the replays concerned. What was
    staged for one that is cancelled is still there (`left_behind`). Raises ServiceDownError."""
    withdrawn = []
    for number, asked_by in open_for_runs(settings):
        if asked_by == run:
            with connected(settings) as database:
                if take_back(database, number) is not None:
                    withdrawn.append(number)
    return withdrawn


def left_behind(settings: Settings) -> list[int]:
    """Replays of runs that were cancelled, and for which something may be staged still. Raises ServiceDownError."""
    with connected(settings) as database:
        rows = database.execute(
            "SELECT id FROM replay.replays WHERE namespace = %s AND state = 'cancelled' AND run IS NOT NULL",
            [settings.namespace],
        ).fetchall()
    return [number for (number,) in rows]


def forget_run(settings: Settings, number: int) -> None:
    """Nothing is left of what its run had asked for. Raises ServiceDownError."""
    with connected(settings) as database:
        database.execute("UPDATE replay.replays SET run = NULL WHERE id = %s", [number])


def owed(settings: Settings, goes_on: Callable[[str], bool]) -> bool:
    """Whether a run is over, by `goes_on`, of which something is left to take back or to clean up. Raises
    ServiceDownError."""
    return bool(left_behind(settings)) or any(not goes_on(run) for _, run in open_for_runs(settings))
