"""Silver and gold, derived anew from bronze beside the tables, and put into their place, each in one commit."""

from collections.abc import Callable, Iterator
from typing import Final

import polars as pl

from jobs.change_over.refusals import ChangeOverError
from jobs.follower.cycle import Follower
from jobs.follower.lake import Lake
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import FOLLOWED, table
from lakehouse.delta import Once, open_table
from lakehouse.delta.files import Source, read_each, write_files
from lakehouse.delta.layout import Files
from lakehouse.delta.notes import Asked
from lakehouse.delta.unpartition import unpartition
from lakehouse.semantics.metrics import ROOMS
from lakehouse.settings import Settings

CAUGHT_UP_SECONDS: Final = 2.0
"""A cycle that takes less has little left to follow."""

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""


class Derived:
    """What a follower makes of the Spark driver's bronze tables, in tables of its own, whose rows nobody reads."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._follower = Follower(Lake(settings, FOLLOWED))

    def catch_up(self) -> None:
        """Follows bronze, which goes on, until little is left."""
        took = CAUGHT_UP_SECONDS
        while took >= CAUGHT_UP_SECONDS and self._follower.cycle():
            self._tell()
            took = sum(self._follower.seconds.values())

    def settle(self) -> None:
        """Follows bronze, which stands still, to its end. Raises ChangeOverError: a table can't follow."""
        for _ in self._follower.settle():
            self._tell()
        if behind := [name for name, node in self._follower.nodes.items() if not node.settled()]:
            raise ChangeOverError(
                f"{', '.join(behind)} can't be derived from bronze: what stands above says why. Nothing that is read "
                f"has changed; mend it, and call this again"
            )

    def _tell(self) -> None:
        rows = sum(sum(self._follower.lake.files(name).rows.values()) for name in DERIVED)
        self._progress(f"deriving silver and gold anew: {rows:,} rows")

    def put_in_place(self, name: str, note: Asked) -> int:
        """Makes the rows of a settled table those of the one that is read, which says from then on how far it has read
        its sources; returns its version. Tables go in the order of the graph. One that has them stays as it is.

        Raises what `unpartition` raises.
        """
        settings, stored = self._settings, f"{name}{FOLLOWED}"
        derived, held = open_table(settings, stored), open_table(settings, name)
        once = Once(Source.of(stored, derived).app_id, int(derived.version()), positions=self._read(name))
        if (held.transaction_version(once.app_id) or -1) >= (once.version or 0):
            return int(held.version())
        content = write_files(settings, stored, self._rows(stored, note.cause), into=name)
        return unpartition(settings, name, content, once, note)

    def _rows(self, stored: str, cause: str) -> Iterator[pl.DataFrame]:
        for path in Files(open_table(self._settings, stored)).paths:
            rows = read_each(self._settings, stored, [path])[path]
            says = "changed_by" in table(stored).column_names
            yield rows.with_columns(changed_by=pl.lit(cause)) if says else rows

    def _read(self, name: str) -> dict[str, int]:
        """Of bronze, which the derived table follows too, the same versions; of silver and gold, those in place."""
        positions = {}
        for each in ROOMS[name].contract.reads:
            opened = open_table(self._settings, each)
            position = int(opened.version()) if each in DERIVED else self._follower.lake.position(name, each)
            positions[Source.of(each, opened).app_id] = -1 if position is None else position
        return positions
