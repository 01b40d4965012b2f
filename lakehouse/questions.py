"""Questions to services that may be slow, frozen or down: what each was last known to answer is at hand, whatever they
do."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from lakehouse.errors import explained

OLD_SECONDS: Final = 60.0
"""What was last known longer ago than this may have changed since."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """`why` there is no answer, in a sentence for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Question:
    """What to `ask` of a `service`; `name` tells it from others."""

    service: str
    name: str
    ask: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Known:
    """The last answer to a question: `value`, known since `at`; None if there was none yet. `why`: the question was
    asked since, and not answered."""

    value: Any = None
    at: datetime | None = None
    why: str | None = None

    def age_seconds(self, now: datetime) -> float | None:
        """How long ago it was known; None for never."""
        return None if self.at is None else max(0.0, (now - self.at).total_seconds())


class Answers:
    """Keeps the last answer to each question, and gathers new ones behind whoever looks. Keep one per process.

    A service is asked one question after the other, by one thread, one gathering at a time: however many look, nothing
    is asked twice, and a service that is frozen holds one thread and nobody but itself.
    """

    def __init__(self, pause_seconds: float) -> None:
        """`pause_seconds`: so far apart, at least, two gatherings begin."""
        self._pause = pause_seconds
        self._changed = threading.Condition()
        self._known: dict[str, Known] = {}
        self._asking: set[str] = set()
        self._begun: dict[str, float] = {}

    def gather(self, questions: Iterable[Question]) -> None:
        """Begins to ask each service, unless that is under way or was begun just now; returns at once."""
        by_service = attrgetter("service")
        for service, asked in groupby(sorted(questions, key=by_service), by_service):
            with self._changed:
                now = time.monotonic()
                if service in self._asking or now < self._begun.get(service, -self._pause) + self._pause:
                    continue
                self._asking.add(service)
                self._begun[service] = now
            # A daemon: a question that hangs must not keep its process from ending, as an executor's would.
            threading.Thread(target=self._ask, args=(service, list(asked)), name=f"asks {service}", daemon=True).start()

    def _ask(self, service: str, questions: list[Question]) -> None:
        try:
            for question in questions:
                found = answer(question.name, question.ask)
                with self._changed:
                    before = self._known.get(question.name, Known())
                    new = Known(found, datetime.now(UTC))
                    self._known[question.name] = (
                        replace(before, why=found.why) if isinstance(found, Unanswered) else new
                    )
        finally:
            with self._changed:
                self._asking.discard(service)
                self._changed.notify_all()

    @property
    def gathering(self) -> bool:
        """Whether answers are on their way."""
        with self._changed:
            return bool(self._asking)

    def wait(self, seconds: float) -> None:
        """Returns once nothing is asked any more, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._asking, seconds)

    def known(self) -> dict[str, Known]:
        """By name, what was answered so far."""
        with self._changed:
            return dict(self._known)


def answer(name: str, ask: Callable[[], Any]) -> Any:
    """What `ask` returns, or `Unanswered` if it raises."""
    try:
        return ask()
    except Exception as error:
        sentence = explained(error)
        if sentence is None:
            _log.exception("%s could not be answered", name)
            sentence = f"{type(error).__name__}: its stack trace is in the log"
        return Unanswered(sentence)


def answer_within(seconds: float, name: str, ask: Callable[[], Any]) -> Any:
    """As `answer`, and `Unanswered` if it takes longer; the question is then left to itself."""
    found: Future[Any] = Future()
    threading.Thread(target=lambda: found.set_result(answer(name, ask)), name=f"asks {name}", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        return Unanswered(f"no answer within {seconds:g} s")
