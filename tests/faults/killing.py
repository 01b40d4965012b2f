"""Events that flow while something is killed, and the means to kill it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from time import time

from experiments.faults import processes
from experiments.faults.flow import Flow
from lakehouse.checkpoints import Positions
from lakehouse.compare import COMPARED, compare
from lakehouse.contracts.graph import DERIVED, STREAM
from lakehouse.contracts.jobs import JOBS, JobSpec
from lakehouse.contracts.tables import BRONZE, FOLLOWED, INGESTED
from lakehouse.cuts import wait_for_cut
from lakehouse.drained import kafka_ends
from lakehouse.generator.render import records
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.runtime.reconcile import start, stop
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings
from tests.waiting import until

CLICKS, PURCHASES, TRANSACTIONS = 9_900, 100, 400
PATIENCE_SECONDS = 900
"""For what takes seconds while nobody else uses the machine."""
BACK_WITHIN_SECONDS = 10
WITHOUT_EVENTS = {"bronze.products", "bronze.profiles", "silver.products", "silver.profiles"}
"""Nothing is sent to the changelogs here, and a comparison of no rows proves nothing."""
TABLES = [n for n in COMPARED if n in JOBS[STREAM].writes and n not in WITHOUT_EVENTS]
"""What the stream makes of the events that flow."""
FOLLOWED_TABLES = [
    *(f"{name}{INGESTED}" for name in BRONZE if name not in WITHOUT_EVENTS),
    *(f"{name}{FOLLOWED}" for name in DERIVED if name not in WITHOUT_EVENTS),
]
"""What ingest and the follower make of them."""


@contextmanager
def running(settings: Settings, *jobs: JobSpec) -> Iterator[None]:
    """The jobs, on topics that may have no record yet."""
    create_topics(settings)
    for job in jobs:
        start(settings, job, "test")
    try:
        yield
    finally:
        for job in jobs:
            stop(settings, job, "test")


def flowing(settings: Settings, day: date, seed: int) -> Flow:
    """About 10,000 events of a shop day: half at 500 a second, a quarter more slowly, the rest with `hurry`.

    So events flow when something is killed, however long it took to get there, and more come afterwards.
    """
    shop_day = ShopDay(day, clicks=CLICKS, purchases=PURCHASES, seed=seed, broken=0.001)
    # Valid ones alone: of the invalid, the dead letters are written by another job than the one that is killed.
    paid = chain.from_iterable(records(ShopDay(day, 0, 0, seed, transactions=TRANSACTIONS)))

    def pause(sent: float) -> float:
        return 0.2 if sent < 1 / 2 else 2

    return Flow(settings, shop_day, pause, versions=False, beside=tuple(paid), kept=0.25)


@dataclass(frozen=True)
class Kill:
    """When a program was killed, its pid then, and where the topics ended at that moment."""

    program: str
    pid: int
    at: float
    ends: dict[str, dict[int, int]]

    def after(self, ends: dict[str, dict[int, int]]) -> int:
        """How many records came between the kill and `ends`."""
        return sum(
            end - self.ends[topic].get(p, 0) for topic, partitions in ends.items() for p, end in partitions.items()
        )


def kill(settings: Settings, program: str) -> Kill:
    """Send SIGKILL to a program and all its descendants at once."""
    at = time()
    return Kill(program, processes.kill(settings, program), at, kafka_ends(settings))


def back(settings: Settings, kill: Kill) -> int:
    """The program's new pid; fails unless the supervisor has started it again in time."""
    supervisor = Supervisor(settings)

    def new_pid() -> int | None:
        pid = supervisor.status(kill.program).pid
        return pid if pid != kill.pid else None

    return until(new_pid, kill.at + BACK_WITHIN_SECONDS - time(), f"{kill.program} is back")


def assert_equal_at_a_cut(settings: Settings, ends: Positions) -> None:
    """What ingest and the follower make, up to `ends` or further."""
    cut = wait_for_cut(settings, ends, PATIENCE_SECONDS)
    comparison = compare(settings, FOLLOWED_TABLES, cut.ends, versions=cut.versions)
    assert [t for t in comparison.tables if not t.equal] == []
