"""Events that flow while something is killed, and the means to kill it."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from time import monotonic, sleep, time
from typing import TypeVar

import psutil

from lakehouse.drained import kafka_ends
from lakehouse.generator.render import records
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.feed import feed
from lakehouse.kafka.sender import Outgoing
from lakehouse.kafka.topics import create_topics
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings

CLICKS, PURCHASES = 19_800, 200
LOT = 100
PATIENCE_SECONDS = 900
"""For what takes seconds while nobody else uses the machine."""
BACK_WITHIN_SECONDS = 10
T = TypeVar("T")


def until(ask: Callable[[], T | None], seconds: float, what: str, every: float = 0.05) -> T:
    """The first answer of `ask` other than None and False; 0 is one."""
    deadline = monotonic() + seconds
    while (answer := ask()) is None or answer is False:
        assert monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        sleep(every)
    return answer


@dataclass
class Flow:
    """About 20,000 events of a shop day: half at 500 a second, then ever more slowly until `hurry`, then the rest.

    So events flow when something is killed, however long it took to get there, and more come afterwards. The
    block ends when all are sent.
    """

    settings: Settings
    day: date
    seed: int
    _rest: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> "Flow":
        create_topics(self.settings)
        self._thread = threading.Thread(target=self._send, name="flow")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hurry()
        self._thread.join()
        assert not self._errors, self._errors

    @property
    def flowing(self) -> bool:
        return self._thread.is_alive()

    def hurry(self) -> None:
        """Send the rest at once."""
        self._rest.set()

    def _send(self) -> None:
        try:
            feed(self.settings, self._lots(), judged=False, unsafe=True)
        except BaseException as error:  # the test's own thread reports it
            self._errors.append(error)

    def _lots(self) -> Iterator[list[Outgoing]]:
        day = ShopDay(self.day, clicks=CLICKS, purchases=PURCHASES, seed=self.seed, broken=0.001)
        sent = 0
        for batch in records(day):
            for start in range(0, len(batch), LOT):
                self._rest.wait(0.2 if sent < CLICKS / 2 else 2 if sent < CLICKS * 3 / 4 else 15)
                yield batch[start : start + LOT]
                sent += LOT


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
    pid = Supervisor(settings).status(program).pid
    assert pid is not None, f"{program} does not run"
    leader = psutil.Process(pid)
    victims = [leader, *leader.children(recursive=True)]
    at = time()
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    return Kill(program, pid, at, kafka_ends(settings))


def back(settings: Settings, kill: Kill) -> int:
    """The program's new pid; fails unless the supervisor has started it again in time."""
    supervisor = Supervisor(settings)

    def new_pid() -> int | None:
        pid = supervisor.status(kill.program).pid
        return pid if pid != kill.pid else None

    return until(new_pid, kill.at + BACK_WITHIN_SECONDS - time(), f"{kill.program} is back")
