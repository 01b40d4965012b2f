"""Shows which step runs, for how long, and what comes next."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.text import Text

from cli.output import console, styled, working


class Progress:
    """Announces the steps of `plan`, in order, and keeps their seconds in `seconds`."""

    def __init__(self, plan: Sequence[str]) -> None:
        self._plan = tuple(plan)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator["Step"]:
        """Time one step of the plan; a failure is shown and goes on to the caller."""
        number = self._plan.index(name) + 1
        following = self._plan[number] if number < len(self._plan) else "nothing, that is all"
        begun = time.monotonic()
        with working("") as show:
            step = Step(show, f"{number}/{len(self._plan)} {name}", f"next: {following}", begun)
            step.say("")
            try:
                yield step
            except BaseException:
                console.print(styled((f"✗ {name}", "red"), f" after {time.monotonic() - begun:.1f} s"))
                raise
        self.seconds[name] = round(time.monotonic() - begun, 2)
        told = f": {step.last}" if step.last else ""
        said = f" {number}/{len(self._plan)} {name} in {self.seconds[name]:.1f} s{told}"
        console.print(styled(("✓", "green"), said))


class Step:
    """What a running step says of itself; also printed each 15 s where there is no terminal to redraw."""

    _QUIET_SECONDS: Final = 15.0

    def __init__(self, show: Callable[[Text], None], title: str, following: str, begun: float) -> None:
        self._show = show
        self._title = title
        self._following = following
        self._begun = begun
        self._printed = begun
        self.last = ""

    def say(self, text: str) -> None:
        """`text` replaces what the step said before."""
        self.last = text
        now = time.monotonic()
        since = (f"({now - self._begun:.0f} s; {self._following})", "dim")
        line = styled((self._title, "bold"), f" {text} ", since)
        self._show(line)
        if not console.is_terminal and now - self._printed >= self._QUIET_SECONDS:
            self._printed = now
            console.print(line)
