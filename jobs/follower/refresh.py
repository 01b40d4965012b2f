"""Tables whose rows are computed by their SQL from what they follow: the rows of a scope are replaced."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl
from deltalake.transaction import AddAction

from jobs.follower.lake import FILE, News
from jobs.follower.node import Node
from jobs.follower.parts import Executors, Part, Ranges, Slice
from jobs.rust_engines.ranges import END, START, affected, counting, inside, needed, widened
from jobs.rust_engines.sql import Frames, refreshed
from jobs.rust_engines.transactions import typed
from lakehouse.contracts.tables import table
from lakehouse.delta.layout import Files
from lakehouse.semantics.metrics import refresh_sql
from lakehouse.semantics.scopes import FOREVER, NaturalSession

SLICE: Final = 1_000_000
"""Rows of sources from which a table that is computed anew is made at once."""


@dataclass(slots=True)
class Refresh(Node):
    """One of `REFRESHED` that has a scope by key and time. `slice_rows` as `SLICE`; `executors` take what has many
    rows."""

    frames: Frames = field(default_factory=Frames)
    slice_rows: int = SLICE
    executors: Executors | None = None

    def follow(self, news: Mapping[str, News], settle: bool) -> bool:
        scope = self._scope(news)
        if scope is None:
            return self._anew(news, settle)
        if not scope:
            return self.nothing_changes(news, settle)
        if (elsewhere := self._elsewhere(scope, news, settle)) is not None:
            return elsewhere
        fresh, stale = self._differing(self._rows(scope), self._held(scope), news)
        if fresh.is_empty() and stale.is_empty():
            return self.nothing_changes(news, settle)
        removed = stale[FILE].unique().to_list()
        kept = self.lake.read(self.name, removed).join(stale, list(table(self.name).key), "anti", nulls_equal=True)
        self.commit(pl.concat([kept, fresh]), removed, news)
        return True

    def _anew(self, news: Mapping[str, News], settle: bool) -> bool:
        """Computes all rows, a slice at a time, and commits them at once."""
        if (elsewhere := self._elsewhere(None, news, settle)) is not None:
            return elsewhere
        written, key = list[AddAction](), list(table(self.name).key)
        outdated = self.lake.located(self.name, [], key)
        for part in self._slices():
            fresh, stale = self._differing(self._rows(None, part), self._held(None, part), news)
            written += self.lake.write(self.name, fresh, keep=False)
            outdated = pl.concat([outdated, stale.select(outdated.columns)])
        if not written and outdated.is_empty():
            return self.nothing_changes(news, settle)
        for (path,), stale in outdated.group_by(FILE):
            kept = self.lake.read(self.name, [str(path)]).join(stale, key, "anti", nulls_equal=True)
            written += self.lake.write(self.name, kept, keep=False)
        self.commit(self.lake.empty(self.name), outdated[FILE].unique().to_list(), news, written=written)
        return True

    def _elsewhere(self, scope: Ranges | None, news: Mapping[str, News], settle: bool) -> bool | None:
        """Has executors do the step, if it is theirs; None: it is not."""
        if self.executors is None:
            return None
        sources, held = self._sources(scope), self._part(scope)
        if held.rows + sum(part.rows for part in sources.values()) < self.executors.at_least:
            return None
        found = self.executors.replaced(self.name, sources, held, self.note(news).cause)
        if not found.written and not found.removed:
            return self.nothing_changes(news, settle)
        self.commit(self.lake.empty(self.name), found.removed, news, written=found.written)
        return True

    def _slices(self) -> Iterator[Slice | None]:
        """By the first column of the key, where all sources have it; else the whole is one (None)."""
        sources, column = self.room.contract.reads, table(self.name).key[0]
        rows = sum(sum(self.lake.files(source).rows.values()) for source in sources)
        parts = 1 + rows // self.slice_rows
        if parts == 1 or not all(column in self.room.follows[source].needs.key for source in sources):
            yield None
            return
        for number in range(parts):
            yield Slice(column, number, parts)

    def _differing(
        self, rows: pl.DataFrame, held: pl.DataFrame, news: Mapping[str, News]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Of the rows as they are to be those that the table has not, and of its rows those that are to go."""
        compared = list(table(self.name).compared_columns)
        fresh = rows.join(held, compared, "anti", nulls_equal=True)
        changed = typed(self.name, fresh.with_columns(changed_by=pl.lit(self.note(news).cause)))
        return changed, held.join(rows, compared, "anti", nulls_equal=True)

    def _scope(self, news: Mapping[str, News]) -> Ranges | None:
        """The ranges of rows that have to be computed; None: all."""
        found: Ranges = []
        for source, each in news.items():
            if each.difference is None:
                return None
            if not each.difference.gained and not each.difference.lost:
                continue
            follows = self.room.follows[source]
            try:
                changed = self.lake.changed(source, each.difference, self._columns(source))
            except FileNotFoundError:  # of the files that the source has no more
                return None
            ranges = affected(follows.affected, counting(changed, follows.only), follows.time)
            if isinstance(follows.affected, NaturalSession):
                ranges = self._widened(ranges, follows.affected)
            if ranges.height:
                found.append(ranges)
        return found

    def _columns(self, source: str) -> set[str]:
        """Those of a source that its SQL or its scope names: a change of others is none of this table's."""
        follows, named = self.room.follows[source], set(re.findall(r"\w+", refresh_sql(self.name)))
        every = table(source).column_names if source.startswith("bronze.") else ()
        listed = {c for c in table(source).column_names if c in named}
        scoped = {*follows.affected.key, *follows.needs.key, *follows.only, *([follows.time] if follows.time else [])}
        return {*listed, *every, *scoped} - {"value"}

    def _widened(self, points: pl.DataFrame, session: NaturalSession) -> pl.DataFrame:
        """To the sessions that the table has, as far as they reach."""
        gap, columns = session.gap_ms, {*session.key, *session.extent}
        start, end = (pl.col(column).dt.epoch("ms") for column in session.extent)
        found, known, read = widened(points, points.clear(), gap), points.clear(), set[str]()
        files = self.lake.files(self.name)
        while more := set(files.between(*session.extent, found[START] - gap, found[END] + gap)) - read:
            rows = self.lake.read(self.name, sorted(more), columns).join(points, session.key, "semi")
            known = pl.concat([known, rows.select(*session.key, start.alias(START), end.alias(END))])
            read |= more
            found = widened(points, known, gap)
        return found

    def _rows(self, scope: Ranges | None, part: Slice | None = None) -> pl.DataFrame:
        """The rows of the scope, or of a slice of all, as they are to be, but for `changed_by`."""
        sources = {source: self.lake.part(each) for source, each in self._sources(scope, part).items()}
        rows = refreshed(self.frames, self.name, sources)
        return rows if scope is None else rows.filter(inside(rows, scope, self.room.scope.row_time))

    def _held(self, scope: Ranges | None, part: Slice | None = None) -> pl.DataFrame:
        """The rows of the scope, or of a slice of all, as they are, with the files that hold them."""
        return self.lake.part(self._part(scope, part), located=True)

    def _sources(self, scope: Ranges | None, part: Slice | None = None) -> dict[str, Part]:
        """What the rows of the scope, or of a slice of all, need of each source."""
        return {source: self._needed(source, scope, part) for source in self.room.contract.reads}

    def _needed(self, source: str, scope: Ranges | None, part: Slice | None) -> Part:
        files, columns = self.lake.files(source), self._columns(source)
        if scope is None:
            return self.lake.part_of(source, files.paths, columns, slice=part)
        follows = self.room.follows[source]
        ranges = [needed(follows.needs, each) for each in scope]
        chosen = {path for each in ranges for path in _files(files, each, follows.time)}
        return self.lake.part_of(source, chosen, columns, ranges=ranges, time=follows.time, only=follows.only)

    def _part(self, scope: Ranges | None, part: Slice | None = None) -> Part:
        """The rows of the scope, or of a slice of all."""
        files, time, compared = self.lake.files(self.name), self.room.scope.row_time, table(self.name).compared_columns
        if scope is None:
            return self.lake.part_of(self.name, files.paths, compared, slice=part)
        chosen = {path for each in scope for path in _files(files, each, time)}
        return self.lake.part_of(self.name, chosen, compared, ranges=scope, time=time)


def _files(files: Files, ranges: pl.DataFrame, time: str | None) -> list[str]:
    """Those that may hold rows of the ranges."""
    key = [column for column in ranges.columns if column not in (START, END)]
    if time and (ranges[START] > -FOREVER).all():
        return files.between(time, time, ranges[START], ranges[END])
    return files.holding(key[0], ranges[key[0]]) if key else files.paths
