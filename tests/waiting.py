"""Waiting for a condition instead of a time."""

import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Final, TypeVar

T = TypeVar("T")

_PRESSURE: Final = Path("/proc/pressure/cpu")
_LEAST: Final = 0.1


def until(ask: Callable[[], T | None], seconds: float = 60, what: str = "this", every: float = 0.05) -> T:
    """The first answer of `ask` other than None and False; 0 is one. Asking takes at most a fifth of the time.

    `seconds` are those of a machine that has nothing else to do: where all wait for a processor, time counts less.
    """
    left = seconds
    while True:
        began = monotonic()
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert left > 0, f"{what}: not within {seconds:.0f} s"
        sleep(max(every, 4 * (monotonic() - began)))
        left -= (monotonic() - began) * _share()


def _share() -> float:
    """How much of the last seconds nobody had to wait for a processor; 1 where the kernel doesn't say."""
    try:
        waited = re.search(r"some avg10=([\d.]+)", _PRESSURE.read_text())
    except OSError:
        return 1.0
    return max(_LEAST, 1 - float(waited[1]) / 100) if waited else 1.0
