"""What is done to whom and when: a schedule is data, a pure function of its seed."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import StrEnum
from random import Random
from typing import Any, Final, Self

from lakehouse.contracts.core import Core
from lakehouse.contracts.owners import FOLLOWER, SPARK_INGEST
from lakehouse.runtime.supervisor import job_program

SCHEDULER: Final = "airflow-scheduler"
SPARK_DRIVER: Final = job_program(SPARK_INGEST)
TASK_MANAGER: Final = "flink-taskmanager"


FOLLOWER_PROCESS: Final = job_program(FOLLOWER)


class Kind(StrEnum):
    KILL = "kill"
    """SIGKILL to a program and all its descendants; the supervisor starts it again."""
    FREEZE = "freeze"
    """SIGSTOP to a program and all its descendants, SIGCONT after a while."""
    KILL_UNCOMMITTED = "kill_uncommitted"
    """SIGKILL to the writer when its data files lie in the store and no commit names them yet."""
    KILL_UNACKNOWLEDGED = "kill_unacknowledged"
    """SIGKILL to the writer when it has committed and its checkpoint does not say so yet."""
    CUT = "cut"
    """The jobs' connections to a service end, and new ones are refused for a while."""
    SLOW = "slow"
    """What a service answers to the jobs takes a second or so longer."""
    HALF_OPEN = "half_open"
    """Connections stay open, and nothing gets through either way."""
    UNANSWERED = "unanswered"
    """What the jobs ask for is done, and the answers vanish."""


AT_A_MOMENT: Final = (Kind.KILL_UNCOMMITTED, Kind.KILL_UNACKNOWLEDGED)
"""Kinds whose moment is awaited, for as long as they last."""
CONNECTIONS: Final = (Kind.CUT, Kind.SLOW, Kind.HALF_OPEN, Kind.UNANSWERED)
"""Kinds that need Toxiproxy between the jobs and the services."""


_WRITERS: Final = {Core.SPARK: (SPARK_DRIVER, TASK_MANAGER), Core.FOLLOWER: (FOLLOWER_PROCESS, TASK_MANAGER)}
_PROGRAMS: Final = {
    Core.SPARK: (
        "kafka",
        "minio",
        "valkey",
        "flink-jobmanager",
        TASK_MANAGER,
        SPARK_DRIVER,
        job_program("dashboard_writer"),
    ),
    Core.FOLLOWER: ("kafka", "minio", "postgres", "flink-jobmanager", TASK_MANAGER, FOLLOWER_PROCESS),
}

SECONDS: Final = 30.0
"""Of faults in a schedule, unless somebody asks for more."""
_FAULTS: Final = (3, 6)
"""So many in `SECONDS`."""
_LASTS: Final = (1.0, 20.0)
"""Seconds; long enough for clients to give up, and short ones more often than long ones."""
_AWAITED: Final = 40.0
"""Seconds within which a moment should come: a batch of Spark takes up to that beside other work on two cores."""
_APART: Final = 5.0
"""Seconds between two faults of one target: it may still be starting."""
_ALONE: Final = 10.0
"""Seconds before a fault that comes alone, and how long it lasts."""
_FIRST_DAY: Final = date(2001, 1, 1)
_DAYS: Final = 9_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: seconds since the first event was sent. `seconds`: how long it lasts; 0: it is over at once."""

    at: float
    kind: Kind
    target: str
    seconds: float = 0.0

    @property
    def end(self) -> float:
        return self.at + self.seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults by time, and the day whose events flow meanwhile, generated from the same seed."""

    seed: int
    day: date
    seconds: float
    faults: tuple[Fault, ...]
    core: Core = Core.SPARK

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"day": self.day.isoformat(), "faults": [asdict(fault) for fault in self.faults]}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        faults = tuple(Fault(f["at"], Kind(f["kind"]), f["target"], f["seconds"]) for f in given["faults"])
        core = Core(given.get("core", Core.SPARK))
        return cls(given["seed"], date.fromisoformat(given["day"]), given["seconds"], faults, core)


def plan(
    seed: int,
    seconds: float = SECONDS,
    kinds: Collection[Kind] = tuple(Kind),
    *,
    airflow: bool = False,
    core: Core = Core.SPARK,
) -> Schedule:
    """The schedule of a seed: 3 to 6 faults in 30 s, in proportion for other lengths, the first after 2 s.

    Faults of different targets may overlap, those of one target don't.

    Raises:
        ValueError: there is no kind, or too little time for a fault.
    """
    if not kinds or seconds < _APART:
        raise ValueError(f"a schedule needs a kind of fault and at least {_APART:.0f} s")
    # The order of `kinds` must not matter: it is a set that somebody typed.
    ordered = [kind for kind in Kind if kind in kinds]
    random = Random(seed)  # noqa: S311  nothing secret is drawn
    count = max(1, round(random.randint(*_FAULTS) * seconds / SECONDS))
    free_at: dict[str, float] = {}
    faults = []
    for at in sorted(min(round(random.uniform(2.0, seconds), 1), seconds) for _ in range(count)):
        kind = random.choice(ordered)
        fault = Fault(at, kind, random.choice(targets(kind, airflow, core)), _lasting(random, kind))
        if at >= free_at.get(fault.target, 0.0):
            free_at[fault.target] = fault.end + _APART
            faults.append(fault)
    return Schedule(seed, _day(seed), seconds, tuple(faults), core)


def targets(kind: Kind, airflow: bool, core: Core = Core.SPARK) -> tuple[str, ...]:
    """What a kind can hit; programs include Airflow's scheduler where it is up."""
    if kind in CONNECTIONS:
        return ("kafka", "minio")
    if kind in AT_A_MOMENT:
        return _WRITERS[core]
    return (*_PROGRAMS[core], SCHEDULER) if airflow else _PROGRAMS[core]


def one_by_one(
    seed: int, kinds: Collection[Kind] = tuple(Kind), *, airflow: bool = False, core: Core = Core.SPARK
) -> list[Schedule]:
    """One schedule for each kind and target, with that fault alone, after one with none: how long each takes to
    recover from, against what draining takes anyway."""
    alone: list[tuple[Fault, ...]] = [()]
    for kind in (kind for kind in Kind if kind in kinds):
        lasts = 0.0 if kind is Kind.KILL else _AWAITED if kind in AT_A_MOMENT else _ALONE
        alone += [(Fault(_ALONE, kind, target, lasts),) for target in targets(kind, airflow, core)]
    return [
        Schedule(seed + n, _day(seed + n), faults[0].end if faults else _ALONE, faults, core)
        for n, faults in enumerate(alone)
    ]


def _day(seed: int) -> date:
    return _FIRST_DAY + timedelta(days=seed % _DAYS)


def _lasting(random: Random, kind: Kind) -> float:
    if kind is Kind.KILL:
        return 0.0
    if kind in AT_A_MOMENT:
        return _AWAITED
    shortest, longest = map(math.log, _LASTS)
    return round(math.exp(random.uniform(shortest, longest)), 1)
