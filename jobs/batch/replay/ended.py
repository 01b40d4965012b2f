"""What becomes of a replay whose Airflow run is over, however it ended and whoever was there to see it."""

import logging
from collections.abc import Callable

from jobs.batch.replay.record import record
from jobs.batch.replay.swap import swap
from jobs.batch.replay.undo import undo
from jobs.rust_engines.publish import MARTS
from lakehouse.delta import TableError
from lakehouse.replay import store, withdrawal
from lakehouse.replay.staging import delete_staged
from lakehouse.replay.store import Kind, Replay, ReplayError, State
from lakehouse.runtime.code_in_force import CodeError
from lakehouse.settings import Settings

log = logging.getLogger("replay")


def withdraw_ended(settings: Settings, goes_on: Callable[[str], bool]) -> list[str]:
    """Takes back what runs have asked for that are over, by `goes_on`, and removes what was staged for it; in words.

    Of what the tables' owner has put in place meanwhile, or refused, the rest is done: it is noted, and can be undone.

    Raises ServiceDownError: PostgreSQL or MinIO does not answer.
    """
    said = []
    for number, run in withdrawal.open_for_runs(settings):
        if goes_on(run):
            continue
        if number in withdrawal.withdraw(settings, run):
            said.append(f"replay {number}: withdrawn, as {run} is over")
        elif _seen_through(settings, store.get(settings, number)):
            said.append(f"replay {number}: {store.get(settings, number).state}; {run} ended while it was put in place")
    for number in withdrawal.left_behind(settings):
        delete_staged(settings, number)
        withdrawal.forget_run(settings, number)
    return said


def _seen_through(settings: Settings, replay: Replay) -> bool:
    """Notes what the owner has done with a change set that nobody waited for; whether it had done anything.

    Marts are left as they are: somebody has stopped their publication.
    """
    undoing = replay.state is State.UNDOING
    handed = store.handed(settings, replay.id, Kind.UNDO if undoing else Kind.SWAP)
    if handed is None or handed.state not in ("applied", "refused"):
        return False
    if any(touched.table in MARTS for touched in replay.plan.touched):
        return False
    try:
        if undoing:
            undo(settings, replay.id)
        else:
            swap(settings, replay.id)
            record(settings, replay.id)
    except (ReplayError, CodeError, TableError) as refused:
        log.warning("replay %d: %s", replay.id, refused)
    return True
