"""Runs schedules, one after the other, against one living stack.

While a schedule's events flow, its faults are injected and healed, and lost jobs are resubmitted as the DAG
`streaming_jobs` does it. Then everything must drain by itself, and what the pipeline made of the log must equal
what the reference makes of it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

from experiments.faults.connections import Broken
from experiments.faults.flow import Flow
from experiments.faults.moments import kill_at
from experiments.faults.outcome import Injected, Outcome, Verdict
from experiments.faults.processes import Frozen, NotRunningError, kill, processes
from experiments.faults.schedule import AT_A_MOMENT, CONNECTIONS, Fault, Kind, Schedule
from infra.local.services import declared
from infra.local.stack import LocalStack
from lakehouse.checkpoints import Positions
from lakehouse.compare import COMPARED, Comparison, compare
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.jobs import DEFAULT_JOBS, JOBS, JobSpec
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.contracts.tables import BRONZE, FOLLOWED, INGESTED
from lakehouse.cuts import Cut, NoCutError, wait_for_cut
from lakehouse.drained import Drain, NotDrainedError, kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import ReadError
from lakehouse.kafka.topics import create_topics
from lakehouse.ledger import audit
from lakehouse.runtime.protocol import StopFailedError, SubmissionFailedError
from lakehouse.runtime.reconcile import reconcile, start, view
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

CLICKS: Final = 4_000
PURCHASES: Final = 80
TRANSACTIONS: Final = 300
LOT: Final = 50
WARM_UP: Final = date(2000, 6, 1)
"""No schedule's day."""
DRAIN_SECONDS: Final = 600
"""What takes a minute on an idle machine."""
RECONCILE_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.25
_SHADOW_JOBS: Final = (JOBS[INGEST], JOBS[FOLLOWER])
JOBS_OF: Final = {core: tuple(DEFAULT_JOBS.values()) if core is CORE else _SHADOW_JOBS for core in Core}
"""The other core than this process's runs alone, in the shadow."""
SERVICES: Final = {
    core: ("kafka", "minio", "postgres", *(("valkey",) if core is CORE else ()), "flink") for core in Core
}
_SHADOW_TABLES: Final = (*(f"{name}{INGESTED}" for name in BRONZE), *(f"{name}{FOLLOWED}" for name in DERIVED))
COMPARED_OF: Final = {
    # Marts are built for days that somebody asks for, by Airflow.
    core: tuple(name for name in COMPARED if not name.startswith("marts.")) if core is CORE else _SHADOW_TABLES
    for core in Core
}

Progress = Callable[[str], None]


@dataclass(slots=True)
class Runner:
    """A stack with its jobs, on which schedules run."""

    stack: LocalStack
    airflow: bool = False
    progress: Progress = lambda _doing: None
    core: Core = CORE

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    def start(self) -> None:
        """Start services and jobs, and return when first events have passed through all; raises what those raise."""
        services, jobs = SERVICES[self.core], JOBS_OF[self.core]
        self.stack.up((*services, "airflow") if self.airflow else services, lambda name, _: self.progress(name))
        create_topics(self.settings)
        for job in jobs:
            self.progress(job.name)
            start(self.settings, job, "faults")
        self._until_healthy()
        # A driver's first batch compiles for most of a minute, and whatever fell into it would look slow.
        first = ShopDay(WARM_UP, 200, 10, seed=1)
        with reconciling(self.settings, jobs):
            with Flow(self.settings, first, lambda _sent: 0.0, LOT):
                self.progress("first events")
            self._arrived()

    def run(self, schedule: Schedule) -> Outcome:
        """Run one schedule on the stack as the last one left it. Errors of the pipeline are in the outcome."""
        began = time.monotonic()
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        injector = Injector(self.settings, schedule, self.progress)
        verdict, detail, rows, audited, drained = Verdict.FAILED, (), 0, None, None
        day = ShopDay(schedule.day, CLICKS, PURCHASES, schedule.seed, broken=0.002, transactions=TRANSACTIONS)
        # A tenth is kept for when everything has healed: it has to get through as well.
        lots = (CLICKS + PURCHASES + TRANSACTIONS) / LOT
        pause = schedule.seconds / (0.9 * lots)
        try:
            with reconciling(self.settings, JOBS_OF[self.core]):
                with Flow(self.settings, day, lambda _sent: pause, LOT):
                    injector.run()
                healed = time.monotonic()
                ends, versions = self._arrived()
                drained = round(time.monotonic() - healed, 1)
            self.progress("comparing")
            comparison = compare(self.settings, COMPARED_OF[self.core], ends, versions=versions)
            verdict, detail = Verdict.EXACT if comparison.equal else Verdict.DIFFERS, _differences(comparison)
            if self.core is CORE:  # the ledger follows none but its tables
                self.progress("auditing")
                audited = audit(self.settings, ends)
                verdict = verdict if audited.clean else Verdict.DIFFERS
                detail = (*detail, *map(str, audited.findings))
            rows = sum(t.rows_compared for t in comparison.tables)
        except (NotDrainedError, NoCutError) as error:
            verdict, detail = Verdict.STUCK, (str(error),)
        except Exception as error:  # a finding, whatever it is: the schedule is what it takes to see it again
            detail = (f"{type(error).__name__}: {error}",)
        return Outcome(
            schedule=schedule,
            started_at=started_at,
            verdict=verdict,
            faults=injector.injected(),
            records=day.clicks + day.purchases + day.transactions,
            rows_compared=rows,
            ledger=audited.verdict if audited else None,
            seconds=round(time.monotonic() - began, 1),
            drained_seconds=drained,
            detail=detail,
            audit=audited,
        )

    def _until_healthy(self) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while not all(view(self.settings, job).healthy for job in JOBS_OF[self.core]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the jobs did not run within {DRAIN_SECONDS} s; see: {self.stack.log_file('*')}")
            time.sleep(POLL_SECONDS)

    def _arrived(self) -> tuple[Positions, Mapping[str, int]]:
        """Wait until all that Kafka holds now is in the tables: up to which ends, and in which versions, where these
        are not the newest."""
        if self.core is CORE:
            return self._drain(), {}
        cut = self._cut()
        return cut.ends, cut.versions

    def _cut(self) -> Cut:
        """The first cut of all that Kafka holds, through whatever is still coming back."""
        deadline = time.monotonic() + DRAIN_SECONDS
        ends: Positions | None = None
        while True:
            try:
                ends = ends or kafka_ends(self.settings)
                return wait_for_cut(self.settings, ends, deadline - time.monotonic(), self.progress)
            except ServiceDownError as error:
                self.progress(str(error))
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)

    def _drain(self) -> dict[str, dict[int, int]]:
        """Wait until all is drained, through whatever is still coming back."""
        deadline = time.monotonic() + DRAIN_SECONDS
        drain: Drain | None = None
        while True:
            try:
                drain = drain or Drain.now(self.settings)
                state = drain.look()
                hop = state.waiting_for
                if hop is None:
                    return drain.ends
                self.progress(f"waiting for {hop.name}: {hop.missing}")
                if time.monotonic() > deadline:
                    raise NotDrainedError(state, DRAIN_SECONDS)
            except ServiceDownError as error:
                self.progress(str(error))
                if time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)


class Injector:
    """Brings a schedule's faults about at their times, heals them, and watches their targets come back."""

    def __init__(self, settings: Settings, schedule: Schedule, progress: Progress) -> None:
        self._settings = settings
        self._schedule = schedule
        self._progress = progress
        self._healing: dict[Fault, Callable[[], None]] = {}
        self._came: dict[Fault, Future[Injected]] = {}
        self._watchers = ThreadPoolExecutor(max(1, len(schedule.faults)), "back")

    def run(self) -> None:
        """Returns when the last fault has ended and, at the earliest, when the schedule's time is over."""
        began = time.monotonic()
        due = [(f.at, True, f) for f in self._schedule.faults] + [(f.end, False, f) for f in self._schedule.faults]
        try:
            for at, begins, fault in sorted(due, key=lambda each: each[:2]):
                left = max(0.0, began + at - time.monotonic())
                if fault.kind in AT_A_MOMENT and fault in self._came:
                    wait([self._came[fault]], left)  # its moment may come early
                else:
                    time.sleep(left)
                if begins:
                    self._inject(fault)
                elif fault in self._healing:
                    self._heal(fault)
            time.sleep(max(0.0, began + self._schedule.seconds - time.monotonic()))
        finally:
            for fault in list(self._healing):
                self._heal(fault)
            self._watchers.shutdown(wait=False)

    def injected(self) -> tuple[Injected, ...]:
        """How each fault came about; waits for targets that are not back yet."""
        nothing = partial(Injected, injected=False, back_seconds=None)
        return tuple(self._came[f].result() if f in self._came else nothing(f) for f in self._schedule.faults)

    def _inject(self, fault: Fault) -> None:
        self._progress(f"{fault.kind} {fault.target}")
        try:
            match fault.kind:
                case Kind.KILL:
                    self._watch(fault, kill(self._settings, fault.target))
                case Kind.FREEZE:
                    self._healing[fault] = Frozen(processes(self._settings, fault.target)).heal
                case Kind.KILL_UNCOMMITTED | Kind.KILL_UNACKNOWLEDGED:
                    over = threading.Event()
                    self._healing[fault] = over.set
                    self._came[fault] = self._watchers.submit(self._kill_at, fault, over)
                case _:
                    self._healing[fault] = Broken(self._settings, fault.kind, fault.target).heal
        except NotRunningError:
            return

    def _heal(self, fault: Fault) -> None:
        self._healing.pop(fault)()
        if fault.kind not in AT_A_MOMENT:
            self._watch(fault, None)

    def _watch(self, fault: Fault, killed: int | None) -> None:
        self._came[fault] = self._watchers.submit(self._back, fault, killed)

    def _back(self, fault: Fault, killed: int | None) -> Injected:
        if fault.kind in CONNECTIONS:
            return Injected(fault, True, None)
        return Injected(fault, True, seconds_until_back(self._settings, fault.target, killed))

    def _kill_at(self, fault: Fault, over: threading.Event) -> Injected:
        killed = kill_at(self._settings, fault.kind, fault.target, self._schedule.core, over)
        return Injected(fault, False, None) if killed is None else self._back(fault, killed)


def seconds_until_back(settings: Settings, program: str, killed: int | None) -> float | None:
    """Until a program answers again, with another pid than `killed`; None: not within `DRAIN_SECONDS`."""
    began = time.monotonic()
    service = declared(settings).get(program)
    supervisor = Supervisor(settings)
    while time.monotonic() < began + DRAIN_SECONDS:
        state = supervisor.status(program)
        running = state.state == "RUNNING" and state.pid != killed
        if running and (service is None or service.ready()):
            return round(time.monotonic() - began, 1)
        time.sleep(POLL_SECONDS)
    return None


@contextmanager
def reconciling(settings: Settings, jobs: Sequence[JobSpec]) -> Iterator[None]:
    """Do what the DAG `streaming_jobs` does each minute, more often, while the block lasts."""
    ended = threading.Event()

    def again_and_again() -> None:
        while not ended.wait(RECONCILE_SECONDS):
            for job in jobs:
                try:
                    reconcile(settings, [job])
                except (ServiceDownError, SubmissionFailedError, StopFailedError, ReadError):
                    continue  # as in the DAG: the next round tries again

    thread = threading.Thread(target=again_and_again, name="reconcile")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _differences(comparison: Comparison) -> tuple[str, ...]:
    unequal: Sequence[str] = [
        f"{t.table}: {t.rows_compared} rows compared, {t.missing} missing, {t.unexpected} unexpected, "
        f"{t.different} different: {'; '.join(t.examples[:2])}"
        for t in comparison.tables
        if not t.equal
    ]
    unbalanced = [] if comparison.accounting.balanced else [f"accounting: {comparison.accounting.total}"]
    untrue = [str(said) for said in comparison.said if not said.right]
    return (*unequal, *unbalanced, *untrue)
