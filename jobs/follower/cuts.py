"""Makes cuts: notes which versions belong together once all nodes have read their sources, and records them once it is
sure that the bronze tables had all of their checkpoint.

The tables of a checkpoint are committed to one after the other. All of them have what belongs to it when a later
checkpoint is complete. So what is noted is looked at again then: a table to which that checkpoint has committed
afterwards makes it void.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from jobs.follower.cycle import Follower
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.contracts.tables import BRONZE, DEAD_LETTERS
from lakehouse.cuts import Cut, checkpoint_of, ends_of, record_cut
from lakehouse.delta import TableError, open_table
from lakehouse.flink_rest import latest_checkpoints
from lakehouse.kafka.consumer import ReadError
from lakehouse.kafka.offsets import partition_counts
from lakehouse.kafka.topics import topic_ids
from lakehouse.runtime.wanted import wanted_state
from lakehouse.services import ServiceDownError

log = logging.getLogger(FOLLOWER)


@dataclass(slots=True)
class Cuts:
    """Of one follower, whose lake it looks at between its cycles; `every_seconds` at most. What it can't find out now
    it asks again later."""

    follower: Follower
    every_seconds: float
    _noted: Cut | None = None
    _generation: int = 0
    """Of the state of ingest, when the cut was noted."""
    _recorded_versions: Mapping[str, int] = field(default_factory=dict)
    _recorded_at: float = float("-inf")
    _said: str = ""

    def before_cycle(self) -> None:
        """Reads the dead letters' log, about when the follower reads those of its sources."""
        try:
            self.follower.lake.refresh(DEAD_LETTERS)
        except (TableError, ServiceDownError, OSError) as error:
            self._say(f"{DEAD_LETTERS}: {error}")

    def after_cycle(self) -> bool:
        """Notes what belongs together, or records what was noted; returns whether it has recorded a cut."""
        try:
            if self._noted is None and time.monotonic() - self._recorded_at >= self.every_seconds:
                self._note()
            recorded = self._noted is not None and self._confirmed(self._noted)
        except (TableError, ServiceDownError, ReadError, httpx.HTTPStatusError, OSError) as error:
            self._say(f"no cut: {error}")
            return False
        self._said = ""
        return recorded

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning(text)
        self._said = text

    def _note(self) -> None:
        lake = self.follower.lake
        settings, opened = lake.settings, {name: lake.opened(name) for name in BRONZE}
        versions = {lake.stored(name): lake.version(name) for name in (*BRONZE, *DERIVED)}
        if versions == self._recorded_versions or not self.follower.settled():
            return
        self._generation = wanted_state(settings, INGEST).generation
        ids, counts = topic_ids(settings, EVENTS), partition_counts(settings)
        partitions = {topic: range(counts[settings.prefixed(topic)]) for topic in EVENTS}
        checkpoint = max(checkpoint_of(each, self._generation) for each in opened.values())
        self._noted = Cut(checkpoint, ends_of(opened, ids, partitions), versions)

    def _confirmed(self, cut: Cut) -> bool:
        lake = self.follower.lake
        if wanted_state(lake.settings, INGEST).generation != self._generation:
            self._noted = None
            return False
        completed = latest_checkpoints(lake.settings, INGEST).get("completed")
        if completed is None or int(completed["id"]) <= cut.checkpoint:
            return False
        self._noted = None
        if late := [name for name in BRONZE if self._late(lake.stored(name), cut)]:
            log.info("no cut at checkpoint %d: it was still committing to %s", cut.checkpoint, ", ".join(late))
            return False
        record_cut(lake.settings, cut)
        self._recorded_versions, self._recorded_at = cut.versions, time.monotonic()
        log.info("cut at checkpoint %d", cut.checkpoint)
        return True

    def _late(self, stored: str, cut: Cut) -> bool:
        """Whether the cut's checkpoint, or one before, has committed to the table after the cut's version of it."""
        settings = self.follower.lake.settings
        newest, noted = open_table(settings, stored), cut.versions[stored]
        before = checkpoint_of(open_table(settings, stored, noted), self._generation)
        for version in range(noted + 1, int(newest.version()) + 1):
            then = checkpoint_of(open_table(settings, stored, version), self._generation)
            if then != before:
                return then <= cut.checkpoint
        return False
