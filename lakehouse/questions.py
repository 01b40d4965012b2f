"""Many questions to services, asked at once and answered within a time, whatever some of the services do."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import explained

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """`why` there is no answer, in a sentence for people."""

    why: str


class Questions:
    """Asks on threads. Keep one per process.

    A service that is frozen keeps a thread for longer than anybody waits. Its question is not asked a second time
    beside the first: who asks again meanwhile waits for that one's answer, so that there are never more threads than
    different questions. No answer outlives the calls that waited for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Future[Any]] = {}

    def ask(self, questions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
        """By name, what each question returned within `seconds`, or `Unanswered` if it raised or took longer.

        Of two questions with one name that are asked at the same time one is asked, and answers both.
        """
        deadline = time.monotonic() + seconds
        asked = {name: self._begin(name, question) for name, question in questions.items()}
        wait(asked.values(), max(0.0, deadline - time.monotonic()))
        return {name: _answer(name, future, seconds) for name, future in asked.items()}

    def _begin(self, name: str, question: Callable[[], Any]) -> Future[Any]:
        with self._lock:
            if name in self._open:
                return self._open[name]
            future = self._open[name] = Future()
        # A daemon: a question that hangs must not keep its process from ending, as an executor's would.
        threading.Thread(target=self._run, args=(name, question, future), name=f"asks {name}", daemon=True).start()
        return future

    def _run(self, name: str, question: Callable[[], Any], future: Future[Any]) -> None:
        answer: Any = None
        failure: Exception | None = None
        try:
            answer = question()
        except Exception as error:
            failure = error
        # Forgotten first: who asks from now on gets an answer of his own time.
        with self._lock:
            del self._open[name]
        if failure is None:
            future.set_result(answer)
        else:
            future.set_exception(failure)


def _answer(name: str, future: Future[Any], seconds: float) -> Any:
    if not future.done():
        return Unanswered(f"no answer within {seconds:g} s")
    error = future.exception()
    if error is None:
        return future.result()
    sentence = explained(error)
    if sentence is None:
        _log.error("%s could not be answered", name, exc_info=error)
        sentence = f"{type(error).__name__}: its stack trace is in the log"
    return Unanswered(sentence)
