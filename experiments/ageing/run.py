"""Ages an installation: days with few events go by, one or several a cycle, and with each some of what years bring.

Kafka forgets what has been audited; tables keep minutes of history, and are maintained; ingest is replaced by
savepoint, and the follower killed. What is asked of the installation on its first day is asked again at the end.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from confluent_kafka import TopicPartition

from experiments.ageing.measure import TABLES, Size, size
from experiments.ageing.questions import Answer, answers
from experiments.faults.processes import kill
from lakehouse.catalog import publish_seeded
from lakehouse.checkpoints import Positions
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.cuts import wait_for_cut
from lakehouse.delta import open_table
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.offsets import admin_client
from lakehouse.ledger import audit
from lakehouse.produce import send_day
from lakehouse.runtime.reconcile import start
from lakehouse.runtime.supervisor import job_program
from lakehouse.runtime.upgrade import upgrade
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import Settings
from lakehouse.upkeep import maintain

FIRST: Final = date(2025, 1, 1)
SERVICES: Final = ("kafka", "minio", "postgres", "flink")
CLICKS, PURCHASES, TRANSACTIONS = 40, 10, 6
"""Of a day. A comparison of no rows proves nothing: the first has `BUSY` times as many, alerts and dead letters too."""
BUSY: Final = 60
PATIENCE_SECONDS: Final = 600

Progress = Callable[[str], None]


class NotCleanError(RuntimeError):
    """The ledger found what is lost, doubled or altered; the message names it."""


@dataclass(frozen=True, slots=True)
class Turns:
    """After how many cycles each comes, and how long tables keep history."""

    forget: int = 10
    maintain: int = 20
    kill: int = 30
    upgrade: int = 60
    history_seconds: int = 120


@dataclass(frozen=True, slots=True)
class Cycle:
    """`seconds`: from when its events were sent until a cut had them; `audit_seconds`: of the audit of what is new."""

    number: int
    day: str
    seconds: float
    audit_seconds: float | None
    size: Size | None


@dataclass(slots=True)
class Ageing:
    """`days` go by in `cycles`, in an installation whose services run."""

    settings: Settings
    cycles: int
    days: int
    seed: int
    turns: Turns = Turns()
    progress: Progress = lambda _doing: None
    _forgotten: Positions = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """What was measured and answered; raises what the jobs raise."""
        self._start()
        done = [self._cycle(0)]
        self._shorten_history()
        young = self.asked()
        done += [self._cycle(number) for number in range(1, self.cycles)]
        return {
            "days": self.days,
            "turns": asdict(self.turns),
            "cycles": [asdict(cycle) for cycle in done],
            "first_day": [asdict(answer) for answer in young],
            "last_day": [asdict(answer) for answer in self.asked()],
        }

    def go_by(self) -> None:
        """All cycles, where the jobs run already."""
        for number in range(self.cycles):
            self._cycle(number)
            if number == 0:
                self._shorten_history()

    def _start(self) -> None:
        migrate(self.settings)
        publish_seeded(self.settings, self.seed, FIRST)
        for job in (INGEST, FOLLOWER):
            start(self.settings, JOBS[job], "ageing")

    def _cycle(self, number: int) -> Cycle:
        first, last = (self.days * n // self.cycles for n in (number, number + 1))
        for day in range(first, last):
            send_day(self.settings, self._events(day), judged=False)
        self.progress(f"cycle {number + 1} of {self.cycles}")
        began, ends = time.monotonic(), kafka_ends(self.settings)
        wait_for_cut(self.settings, ends, PATIENCE_SECONDS)
        seconds = round(time.monotonic() - began, 2)
        audited = self._age(number, ends)
        looked = audited is not None or number in (0, self.cycles - 1)
        return Cycle(
            number, f"{FIRST + timedelta(last - 1)}", seconds, audited, size(self.settings) if looked else None
        )

    def _events(self, day: int) -> ShopDay:
        times = 1 if day else BUSY
        paid = TRANSACTIONS * times
        sizes = (CLICKS * times, PURCHASES * times, self.seed + day)
        return ShopDay(FIRST + timedelta(day), *sizes, transactions=paid, late=0.05, broken=0.01)

    def _age(self, number: int, ends: Positions) -> float | None:
        """What years bring beside events; how long an audit took, if it was time for one."""
        turn, audited = number + 1, None
        if turn % self.turns.forget == 0:
            audited = self._forget(ends)
        if turn % self.turns.maintain == 0:
            for name in TABLES:
                maintain(self.settings, name)
        if turn % self.turns.kill == 0:
            kill(self.settings, job_program(FOLLOWER))
        if turn % self.turns.upgrade == 0:
            upgrade(self.settings, JOBS[INGEST], "ageing")
        return audited

    def _forget(self, ends: Positions) -> float:
        """Kafka forgets what lay before `ends` when this was called last: that was audited, and read by all.

        Returns the seconds that the audit of what is new took.

        Raises NotCleanError: what has come since is not all there.
        """
        if not (found := audit(self.settings, ends, live=False)).clean:
            raise NotCleanError("; ".join(map(str, found.findings)))
        client = admin_client(self.settings)
        kept_for_ever = {topic for topic, contract in EVENTS.items() if contract.changelog}
        places = [
            TopicPartition(self.settings.prefixed(topic), partition, end)
            for topic, partitions in self._forgotten.items()
            if topic not in kept_for_ever
            for partition, end in partitions.items()
        ]
        for removed in client.delete_records(places).values() if places else ():
            removed.result()
        self._forgotten = ends
        return round(found.seconds, 2)

    def _shorten_history(self) -> None:
        kept = f"interval {self.turns.history_seconds} seconds"
        properties = {"delta.deletedFileRetentionDuration": kept, "delta.logRetentionDuration": kept}
        for name in TABLES:
            open_table(self.settings, name).alter.set_table_properties(properties)

    def asked(self) -> list[Answer]:
        """What is answered now, once nothing is under way."""
        found = []
        for answer in answers(self.settings, FIRST):
            self.progress(f"{answer.question}: {'yes' if answer.right else 'NO'}")
            found.append(answer)
        return found
