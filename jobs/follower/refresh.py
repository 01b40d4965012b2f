"""Tables whose rows are computed by their SQL from what they follow: the rows of a scope are replaced."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from jobs.follower.lake import FILE, News
from jobs.follower.node import Node
from jobs.follower.ranges import END, START, affected, inside, needed, widened
from jobs.rust_engines.sql import Frames
from jobs.rust_engines.transactions import typed
from lakehouse.contracts.tables import table
from lakehouse.delta.layout import Files
from lakehouse.semantics.metrics import placeholder, refresh_sql
from lakehouse.semantics.scopes import FOREVER, Followed, NaturalSession

Ranges = list[pl.DataFrame]


@dataclass(slots=True)
class Refresh(Node):
    """One of `REFRESHED` that has a scope by key and time."""

    frames: Frames = field(default_factory=Frames)

    def follow(self, news: Mapping[str, News], settle: bool) -> bool:
        scope = self._scope(news)
        if scope == []:
            return self.nothing_changes(news, settle)
        rows, held = self._rows(scope), self._held(scope)
        compared, key = list(table(self.name).compared_columns), list(table(self.name).key)
        fresh = rows.join(held, compared, "anti", nulls_equal=True)
        stale = held.join(rows, compared, "anti", nulls_equal=True)
        if fresh.is_empty() and stale.is_empty():
            return self.nothing_changes(news, settle)
        removed = stale[FILE].unique().to_list()
        kept = self.lake.read(self.name, removed).join(stale, key, "anti", nulls_equal=True)
        changed = typed(self.name, fresh.with_columns(changed_by=pl.lit(self.note(news).cause)))
        self.commit(pl.concat([kept, changed]), removed, news)
        return True

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
            ranges = affected(follows.affected, _counting(changed, follows), follows.time)
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

    def _rows(self, scope: Ranges | None) -> pl.DataFrame:
        """The rows of the scope as they are to be, but for `changed_by`."""
        sources = {source: self._needed(source, scope) for source in self.room.contract.reads}
        found = self.frames.run(refresh_sql(self.name), **{placeholder(name): rows for name, rows in sources.items()})
        rows = self._as_stored(found)
        return rows if scope is None else rows.filter(inside(rows, scope, self.room.scope.row_time))

    def _as_stored(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What SQL has given, in the types of the table."""
        types = self.lake.empty(self.name).schema
        return rows.select(pl.col(c).cast(types[c]) for c in table(self.name).compared_columns)

    def _needed(self, source: str, scope: Ranges | None) -> pl.DataFrame:
        files, columns = self.lake.files(source), self._columns(source)
        if scope is None:
            return self.lake.read(source, files.paths, columns)
        follows = self.room.follows[source]
        ranges = [needed(follows.needs, each) for each in scope]
        chosen = {path for each in ranges for path in _files(files, each, follows.time)}
        rows = _counting(self.lake.read(source, sorted(chosen), columns), follows)
        return rows.filter(inside(rows, ranges, follows.time))

    def _held(self, scope: Ranges | None) -> pl.DataFrame:
        """The rows of the scope as they are, with the files that hold them."""
        files, time = self.lake.files(self.name), self.room.scope.row_time
        chosen = files.paths if scope is None else {path for each in scope for path in _files(files, each, time)}
        rows = self.lake.located(self.name, sorted(chosen), table(self.name).compared_columns)
        return rows if scope is None else rows.filter(inside(rows, scope, time))


def _counting(rows: pl.DataFrame, follows: Followed) -> pl.DataFrame:
    for column, value in follows.only.items():
        rows = rows.filter(pl.col(column) == value)
    return rows


def _files(files: Files, ranges: pl.DataFrame, time: str | None) -> list[str]:
    """Those that may hold rows of the ranges."""
    key = [column for column in ranges.columns if column not in (START, END)]
    if time and (ranges[START] > -FOREVER).all():
        return files.between(time, time, ranges[START], ranges[END])
    return files.holding(key[0], ranges[key[0]]) if key else files.paths
