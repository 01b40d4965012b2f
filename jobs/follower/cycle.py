"""One follower: all nodes in the order of the graph, over one lake."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from jobs.follower.events import FEW, Events
from jobs.follower.lake import Lake
from jobs.follower.node import Node
from jobs.follower.parts import Executors
from jobs.follower.refresh import Refresh
from jobs.follower.totals import Running
from jobs.rust_engines.sql import Frames
from lakehouse.contracts.graph import DERIVED, EVENT_TABLES, upstream
from lakehouse.contracts.owners import FOLLOWER
from lakehouse.contracts.tables import table
from lakehouse.delta import OvertakenError, TableError
from lakehouse.delta.maintenance import SETTLED_AFTER, compact
from lakehouse.semantics.metrics import ROOMS
from lakehouse.services import ServiceDownError

ATTEMPTS: Final = 5
"""How often a node starts anew in one cycle where others keep committing to its table."""

LOOK_SECONDS: Final = 15.0
"""For so long it may go unnoticed that somebody else has committed to a table of its own, as one that restores it, and
that a source's log was trimmed beyond the entry that is read next: then the logs are listed."""

CHEAP: Final = 4.0
"""CPU seconds of a cycle that takes what is late, up to which it never waits."""
WAIT_PER_CPU_SECOND: Final = 10.0
LONGEST_WAIT: Final = 180.0
"""For so many seconds it waits for each CPU second of such a cycle, and at most."""

log = logging.getLogger(FOLLOWER)


@dataclass(slots=True)
class Follower:
    """What it keeps in memory is for speed: another that starts from the tables alone goes on where it was."""

    lake: Lake
    frames: Frames = field(default_factory=Frames)
    executors: Executors | None = None
    nodes: dict[str, Node] = field(init=False)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """By table, what its node took in the last cycle that had something to do."""
    seconds: dict[str, float] = field(default_factory=dict)
    """The same by the clock."""
    _cost: float = 0.0
    """CPU seconds of the last cycle that took what was late, of few records."""
    _all_taken_at: float = float("-inf")
    _quiet_at: dict[str, int] | None = None
    _looked: float = float("-inf")

    def __post_init__(self) -> None:
        self.nodes = {name: self._node(name) for name in DERIVED}

    def _node(self, name: str) -> Node:
        if name in EVENT_TABLES:
            return Events(self.lake, name, executors=self.executors)
        if totals := ROOMS[name].totals:
            return Running(self.lake, name, frames=self.frames, executors=self.executors, totals=totals)
        return Refresh(self.lake, name, frames=self.frames, executors=self.executors)

    @property
    def sources(self) -> tuple[str, ...]:
        """The tables that it follows and does not write."""
        return tuple(name for name in upstream(DERIVED) if name.startswith("bronze."))

    def cycle(self, settle: bool = False) -> int:
        """Lets each node follow what has become of its sources; returns how many have committed, or have more to do.

        A node that fails stops none but those that follow it, which wait for it. `settle`: every node says in its log
        how far it has read, and nothing waits.
        """
        late_waits = not settle and self._late_waits()
        committed, failed = 0, self._refreshed(own=settle)
        versions = {name: self.lake.version(name) for name in self.sources if name not in failed}
        if versions == self._quiet_at and not settle and not failed and (late_waits or not self._something_waits()):
            return 0
        for events in self._events():
            events.late_waits = late_waits
        self.cpu_seconds, self.seconds = {}, {}
        waiting: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            if name in failed:
                continue
            if held_up := [source for source in node.room.contract.reads if source in failed]:
                failed[name] = failed[held_up[0]]
                waiting.setdefault(failed[name], []).append(name)
                continue
            began, cpu = time.monotonic(), time.process_time()
            try:
                committed += self._followed(node, settle)
            except (TableError, ServiceDownError, OSError) as error:
                failed[name] = name
                log.error("%s stands still: %s", name, error)
            self.seconds[name], self.cpu_seconds[name] = time.monotonic() - began, time.process_time() - cpu
        for name, held in waiting.items():
            log.warning("%s: waited for by %s", name, ", ".join(held))
        self._quiet_at = versions if not committed and not failed else None
        if committed and not late_waits and all(events.arrived <= FEW for events in self._events()):
            self._cost, self._all_taken_at = sum(self.cpu_seconds.values()), time.monotonic()
        return committed

    def _late_waits(self) -> bool:
        """Whether what is late is not yet due: where it costs much it is taken seldom. Executors take all."""
        if self.executors is not None or self._cost <= CHEAP:
            return False
        return time.monotonic() - self._all_taken_at < min(LONGEST_WAIT, WAIT_PER_CPU_SECOND * self._cost)

    def _something_waits(self) -> bool:
        return any(events.something_waits for events in self._events())

    def _events(self) -> Iterator[Events]:
        return (node for node in self.nodes.values() if isinstance(node, Events))

    def _refreshed(self, own: bool) -> dict[str, str]:
        """Reads what others have committed to the sources, and now and then to its own tables; what could not be."""
        failed: dict[str, str] = {}
        own = own or time.monotonic() - self._looked >= LOOK_SECONDS
        for name in (*self.sources, *(self.nodes if own else ())):
            try:
                self.lake.refresh(name, by_name=not own)
            except (TableError, ServiceDownError, OSError) as error:
                failed[name] = name
                log.warning("%s: %s", name, error)
        if own:
            self._looked, self._quiet_at = time.monotonic(), None
        return failed

    def _followed(self, node: Node, settle: bool) -> bool:
        for _ in range(ATTEMPTS - 1):
            try:
                return node.cycle(settle)
            except OvertakenError as overtaken:
                log.info("%s begins anew: %s", node.name, overtaken)
        return node.cycle(settle)

    def compact(self) -> int:
        """Puts small files together that changes have left alone; returns of how many tables."""
        settled, compacted = datetime.now(UTC) - SETTLED_AFTER, 0
        for name in self.nodes:
            stored = self.lake.stored(name)
            if self.lake.files(name).scattered(table(stored).cut_by or "", settled):
                compact(self.lake.settings, stored)
                self.lake.refresh(name)
                compacted += 1
        return compacted

    def settled(self, but_late: bool = False) -> bool:
        """Whether each table follows from its sources as they were read last; `but_late`: be it without what waits."""
        return all(
            node.settled() or (but_late and isinstance(node, Events) and node.something_waits)
            for node in self.nodes.values()
        )

    def settle(self) -> Iterator[int]:
        """Cycles until nothing is left to do; how many tables each changed."""
        while committed := self.cycle(settle=True):
            yield committed
