"""The follower: silver and gold, each table following the logs of those that it is computed from.

Run as ``python -m jobs.follower.main``. Ends with status 0 on SIGTERM, after the cycle under way. A kill at any moment
costs a repetition: how far each table has read its sources is in its own log.
"""

import logging
import sys
import threading
import time
from typing import Final

from jobs.follower.cuts import Cuts
from jobs.follower.cycle import Follower
from jobs.follower.lake import Lake
from jobs.follower.parts import Executors
from jobs.follower.progress import Journal
from jobs.streaming.plain import serve
from lakehouse.contracts.owners import FOLLOWER
from lakehouse.contracts.tables import FOLLOWED, INGESTED
from lakehouse.delta import TableError
from lakehouse.runtime.lease import LeaseHeldError, lease
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

POLL_SECONDS: Final = 1.0
"""Between two looks for news where there were none."""
COMPACT_SECONDS: Final = 60.0
"""Between two looks for files to put together."""

log = logging.getLogger(FOLLOWER)


def run(settings: Settings, stopping: threading.Event) -> None:
    """Cycles until `stopping` is set; when it is, each table's log says how far it has read.

    Raises LeaseHeldError: another follower runs, be it on another machine.
    """
    with lease(settings, FOLLOWER):
        follow(settings, stopping)


def follow(settings: Settings, stopping: threading.Event) -> None:
    """The same, whoever else does."""
    lake = Lake(settings, FOLLOWED, INGESTED)
    follower = Follower(lake, executors=_executors(lake))
    cuts, journal = Cuts(follower, settings.cut_seconds), Journal(follower)
    log.info("follows %s", ", ".join(follower.sources))
    compacted = time.monotonic()
    while not stopping.is_set():
        began, cpu = time.monotonic(), time.process_time()
        cuts.before_cycle()
        journal.begin()
        committed = follower.cycle()
        cuts.after_cycle()
        if committed:
            journal.end()
            seconds, used = time.monotonic() - began, time.process_time() - cpu
            log.info("cycle: %d commits in %.2f s, %.2f CPU seconds", committed, seconds, used)
        else:
            stopping.wait(POLL_SECONDS)
        if time.monotonic() - compacted >= COMPACT_SECONDS:
            follower.compact()
            compacted = time.monotonic()
    follower.cycle(settle=True)


def _executors(lake: Lake) -> Executors | None:
    if lake.settings.follower == "datafusion":
        return None
    from jobs.follower.on_spark import connected  # it starts a JVM, which most followers do without

    return connected(lake)


if __name__ == "__main__":
    sys.exit(serve(log, run, TableError, ServiceDownError, LeaseHeldError))
