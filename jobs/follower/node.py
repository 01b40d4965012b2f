"""What all tables have in common that follow others: how far each source was read, and for how long that may be known
to this process alone."""

import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl
from deltalake.transaction import AddAction

from jobs.follower.lake import Lake, News
from lakehouse.contracts.owners import FOLLOWER
from lakehouse.delta.files import Source
from lakehouse.delta.notes import Follow
from lakehouse.semantics.metrics import ROOMS, Room

SILENT_SECONDS: Final = 60.0
"""For so long a table's log need not say that a source was read that changes none of its rows."""


@dataclass(slots=True)
class Node(ABC):
    """A table, and what this process knows of it beyond its log."""

    lake: Lake
    name: str
    _read: dict[str, int] = field(default_factory=dict)
    _at_version: int = -1
    _silent_since: float = 0.0

    @property
    def room(self) -> Room:
        return ROOMS[self.name]

    @abstractmethod
    def follow(self, news: Mapping[str, News], settle: bool) -> bool:
        """Brings the table up to `news` of its sources; returns whether it has committed, or has more to do.

        `settle`: its log says how far it has read, whatever it has found.

        Raises OvertakenError: another has committed. What is done again starts from that.
        """

    def cycle(self, settle: bool = False) -> bool:
        """Follows what has become of the sources since they were read last; returns as `follow`."""
        if self.lake.version(self.name) != self._at_version:
            self.forget()
        news = {
            source: self.lake.news(self.name, source, self._read.get(source)) for source in self.room.contract.reads
        }
        committed = self.follow(news, settle)
        self._at_version = self.lake.version(self.name)
        return committed

    def settled(self) -> bool:
        """Whether the table follows from its sources as they are open."""
        if self.lake.version(self.name) != self._at_version:
            return False
        return all(self._reached(source) == self.lake.version(source) for source in self.room.contract.reads)

    def _reached(self, source: str) -> int | None:
        known = self._read.get(source)
        return known if known is not None else self.lake.position(self.name, source)

    def forget(self) -> None:
        """Drops what is not in the log: another has committed, and may have put the table back."""
        self._read = {}

    def note(self, news: Mapping[str, News], correction: str = "") -> Follow:
        """What a commit says of itself that brings the table up to `news`."""
        read = {each.source.name: each.until for each in news.values()}
        return Follow(job=FOLLOWER, correction=correction).reading(read)

    def commit(
        self,
        rows: pl.DataFrame,
        removed: Iterable[str],
        news: Mapping[str, News],
        correction: str = "",
        written: Collection[AddAction] = (),
    ) -> None:
        """Commits rows, and files that were `written` before, with how far `news` go."""
        read = {each.source: each.until for each in news.values()}
        added = [*written, *self.lake.write(self.name, rows)]
        self.lake.commit(self.name, added, removed, self.note(news, correction), read)
        self._read, self._silent_since = {}, 0.0

    def nothing_changes(self, news: Mapping[str, News], settle: bool) -> bool:
        """Keeps in mind how far `news` go, and says so in the log when that is due; returns whether it is."""
        if all(self._committed(each.source) == each.until for each in news.values()):
            return False
        self._silent_since = self._silent_since or time.monotonic()
        if settle or time.monotonic() - self._silent_since >= SILENT_SECONDS:
            self.commit(self.lake.empty(self.name), [], news)
            return True
        self._read |= {name: each.until for name, each in news.items()}
        return False

    def _committed(self, source: Source) -> int | None:
        return source.position(self.lake.opened(self.name))
