"""What a service of the local stack is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class StackError(Exception):
    """Something about the local stack that a person has to act on; the message is one sentence or two."""


def nothing() -> None:
    """The step of a service that has nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the stack, declared once.

    `prepare` runs before each start and may be repeated; `ready` tells whether the service answers, quickly and
    without raising; `initialise` runs once it is ready, on each start, and may be repeated too.
    """

    name: str
    profile: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    memory_mb: int
    """What it takes at its peak, counted before anything is started."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By the name of their setting."""
    depends: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """What the command runs under, keeping its pid: see PostgreSQL."""
    prepare: Callable[[], None] = nothing
    initialise: Callable[[], None] = nothing
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    ready_seconds: int = 300
    """A crash is seen at once; this is for one that runs and never answers, on a machine under load too."""
