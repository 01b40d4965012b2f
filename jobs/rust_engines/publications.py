"""Which publication of a mart's day stands, and whether another takes its place.

Publishers may look at their sources at different times and come to commit in any order. What stands is not displaced by
what was computed from older tables. Their versions say what is older, and no clock: a clock that runs ahead would keep
every later publication out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import polars as pl
from deltalake import DeltaTable

from lakehouse.contracts.owners import BACKFILL
from lakehouse.delta import TableError
from lakehouse.delta.describe import Commit, standing
from lakehouse.delta.log import commit_at
from lakehouse.delta.notes import Publication
from lakehouse.delta.write import Once, replace_days, to_arrow
from lakehouse.settings import Settings

Stays = Callable[[Publication, Publication], bool]
"""Whether a publication that says the first stays where one comes that says the second."""


class SupersededError(TableError):
    """A day of a mart was not published: what stands there stays."""

    def __init__(self, mart: str, stands: Commit, theirs: Publication, ours: Publication) -> None:
        read = theirs.read_versions
        newer = [f"{n} {read[n]}, not {v}" for n, v in ours.read_versions.items() if read.get(n, v) > v]
        why = f" from newer tables ({', '.join(newer)})" if newer else ""
        super().__init__(
            f"{mart} of {ours.day} was not published: version {stands.version}, of {stands.at:%Y-%m-%d %H:%M:%SZ}, "
            f"holds it{why}, and stays"
        )
        self.stands = stands


def newer(stands: Publication, ours: Publication) -> bool:
    """Whether what stands was computed from versions that are all at least as new as ours, and not from the same: those
    are computed anew when somebody has changed how. Versions of a table that was made anew are not compared."""
    theirs, mine = stands.read_versions, ours.read_versions
    if theirs == mine or stands.read_tables != ours.read_tables:
        return False
    return theirs.keys() == mine.keys() and all(theirs[name] >= version for name, version in mine.items())


def never(_stands: Publication, _ours: Publication) -> bool:
    """Nothing stays where somebody asks for a certain state."""
    return False


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a day in a mart."""

    settings: Settings
    mart: str
    day: date

    def put(self, rows: pl.DataFrame, note: Publication, stays: Stays = newer) -> int:
        """Puts `rows` in place of the day's in one commit, which says what `note` does; returns the version that holds
        it.

        Raises:
            SupersededError: by `stays`, what stands there is not to be displaced.
            CommitRefusedError, ...: as `lakehouse.delta.replace_days`.
        """

        def check(opened: DeltaTable) -> None:
            stands = self.stands(opened)
            if stands is None or not isinstance(stands.note, Publication) or not stays(stands.note, note):
                return
            if not _taken_back(opened, stands):
                raise SupersededError(self.mart, stands, stands.note, note)

        once = Once(self._app_id, None, check)
        return replace_days(self.settings, self.mart, [self.day], to_arrow(self.mart, rows), once, note)

    def stands(self, opened: DeltaTable) -> Commit | None:
        """The day's last publication; None for a day that was not published within the history that is kept."""
        version = opened.transaction_version(self._app_id)
        # Beyond the newest version: releases before this one noted milliseconds there.
        if version is None or version > opened.version():
            return None
        return commit_at(self.settings, self.mart, version)

    @property
    def _app_id(self) -> str:
        return f"{self.settings.prefixed(BACKFILL)}/{self.mart}/{self.day}"


def _taken_back(opened: DeltaTable, publication: Commit) -> bool:
    """Whether a restore has since brought back rows of before."""
    since = (commit for commit in standing(opened) if commit.version <= publication.version)
    return next(since, publication).version != publication.version
