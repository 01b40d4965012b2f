"""How a recomputation leaves the machine to the live streams: few cores, last in the queue, and a pause while they fall
behind."""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lakehouse.contracts.jobs import JOBS
from lakehouse.drained.positions import consumers
from lakehouse.drained.waiting import owed, patience
from lakehouse.durations import duration
from lakehouse.kafka.consumer import ReadError
from lakehouse.runtime.wanted import Wanted, migrate, wanted_state
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

NICENESS: Final = 10
LOOK_SECONDS: Final = 10.0
"""Between two looks at the streams' lag; a look costs most of a second."""
PAUSE_SECONDS: Final = 5.0

log = logging.getLogger("replay")


def step_back(settings: Settings) -> None:
    """From here on this process, and what it starts, takes `replay_parallelism` cores at most and lets others go first.

    The engines make as many threads as they find cores when they first compute, and Spark is told by its master's name.
    """
    os.nice(NICENESS)
    if hasattr(os, "sched_setaffinity"):  # Linux alone
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-settings.replay_parallelism :])


@dataclass(frozen=True, slots=True)
class Late:
    """A live stream that misses its freshness target: `lag` records, of which the oldest has waited for `seconds`."""

    lag: int
    seconds: float


@dataclass(slots=True)
class LiveFirst:
    """Called before each part of a recomputation, returns once no live stream is late and falling further behind.

    A stream commits at intervals, between which its lag grows though it keeps up: only one that misses its freshness
    target is late. Of streams that nobody wants running nothing is expected.
    """

    settings: Settings
    _looked: float = field(default=-LOOK_SECONDS, init=False)

    def __call__(self, what: str) -> None:
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        before = self._late()
        while before:
            time.sleep(PAUSE_SECONDS)
            now = self._late()
            growing = falling_behind(before, now)
            if not growing:
                break
            log.info("paused before %s while live streams fall behind: %s", what, _in_words(growing))
            before = now
        self._looked = time.monotonic()

    def _late(self) -> dict[str, Late]:
        """By job; nothing where a service does not answer: then nobody can tell, and the step itself will say so."""
        try:
            migrate(self.settings)
            found = {}
            for name in consumers():
                if wanted_state(self.settings, name).wanted is Wanted.RUNNING:
                    lag, seconds = owed(self.settings, name)
                    if seconds > patience(self.settings, JOBS[name]):
                        found[name] = Late(lag, seconds)
        except (ServiceDownError, ReadError) as error:
            log.warning("nobody knows whether live streams are late: %s", error)
            return {}
        return found


def falling_behind(before: Mapping[str, Late], now: Mapping[str, Late]) -> dict[str, Late]:
    """Those that were late before and owe more now."""
    return {job: late for job, late in now.items() if job in before and late.lag > before[job].lag}


def _in_words(late: dict[str, Late]) -> str:
    return ", ".join(
        f"{job} owes {each.lag:,} records, the oldest for {duration(each.seconds)}" for job, each in late.items()
    )
