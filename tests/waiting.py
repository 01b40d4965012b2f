"""Waiting for a condition instead of a time."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")


def until(ask: Callable[[], T | None], seconds: float = 60, what: str = "this", every: float = 0.05) -> T:
    """The first answer of `ask` other than None and False; 0 is one. Asking takes at most a fifth of the time."""
    deadline = monotonic() + seconds
    while True:
        began = monotonic()
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        sleep(max(every, 4 * (monotonic() - began)))
