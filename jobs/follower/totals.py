"""Tables whose rows add up all there is of their key: what their source gains is added, what it loses is taken off.

To compute such a row anew takes all of its key's history, which lies in all files of the source. Rows and how far the
source was read are one commit, so nothing is added twice. Where the least or greatest may have been lost, or a sum did
not fit, the row is computed anew all the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from jobs.follower.lake import SIGN, News
from jobs.follower.refresh import Refresh
from jobs.rust_engines.ranges import END, START
from jobs.rust_engines.sql import refreshed
from lakehouse.checked_sums import narrowed
from lakehouse.contracts.tables import table
from lakehouse.delta.difference import Difference
from lakehouse.semantics.scopes import FOREVER, Totals


@dataclass(frozen=True, slots=True)
class Change:
    """Sums, least and greatest of the rows that a source has gained, and of those that it has lost, each by the table's
    own SQL; `again`: keys whose rows don't follow from these."""

    gained: pl.DataFrame
    lost: pl.DataFrame
    again: pl.DataFrame

    @classmethod
    def of(cls, gained: pl.DataFrame, lost: pl.DataFrame, key: list[str], totals: Totals) -> "Change":
        """What was lost does not matter where as much was gained: a row that has grown is lost and gained."""
        met = lost.join(gained, key, "left", suffix="_gained", nulls_equal=True)
        covered = pl.all_horizontal(
            *(pl.col(f"{c}_gained") <= pl.col(c) for c in totals.least),
            *(pl.col(f"{c}_gained") >= pl.col(c) for c in totals.greatest),
        )
        unknown = [met.filter(~covered.fill_null(False)), *(_without_sum(each, totals) for each in (gained, lost))]
        return cls(gained, lost, pl.concat([each.select(key) for each in unknown]).unique())

    @property
    def keys(self) -> pl.DataFrame:
        return pl.concat([each.select(self.again.columns) for each in (self.gained, self.lost)]).unique()

    def among(self, rows: pl.DataFrame) -> "Change":
        """What of it is of the keys of `rows`."""
        key = self.again.columns
        return Change(
            *(each.join(rows, key, "semi", nulls_equal=True) for each in (self.gained, self.lost, self.again))
        )

    def applied(self, rows: pl.DataFrame, totals: Totals) -> pl.DataFrame:
        """The rows of all keys but those that are computed `again`, `rows` being those that there were, with sums."""
        key = self.again.columns
        off = self.lost.with_columns(
            *((0 - pl.col(c).cast(pl.Int128)).alias(c) for c in totals.sums),
            *(pl.lit(None, self.lost.schema[c]).alias(c) for c in (*totals.least, *totals.greatest)),
        )
        columns = [*key, *totals.sums, *totals.least, *totals.greatest]
        parts = [each.with_columns(pl.col(totals.sums).cast(pl.Int128)) for each in (rows, self.gained)]
        found = (
            pl.concat([each.select(columns) for each in (*parts, off)])
            .join(self.again, key, "anti", nulls_equal=True)
            .group_by(key)
            .agg(pl.sum(*totals.sums), pl.min(*totals.least), pl.max(*totals.greatest))
        )
        types = rows.schema
        return found.with_columns(
            (narrowed(pl.col(c)) if types[c] == pl.Int64 else pl.col(c).cast(types[c])).alias(c) for c in totals.sums
        )


@dataclass(slots=True)
class Running(Refresh):
    """One of `REFRESHED`; `totals`: what its rows add up, as its room says."""

    totals: Totals = field(kw_only=True)

    def follow(self, news: Mapping[str, News], settle: bool) -> bool:
        ((source, each),) = news.items()
        if each.difference is None:
            return self._anew(news, settle)
        if not each.difference.gained and not each.difference.lost:
            return self.nothing_changes(news, settle)
        try:
            change = self._change(source, each.difference)
        except FileNotFoundError:  # of the files that the source has no more
            return self._anew(news, settle)
        written, removed = [], []
        for path, rows in self._rewritten(change, news):
            written += self.lake.write(self.name, rows, keep=False)
            removed += [path] if path else []
        if not written and not removed:
            return self.nothing_changes(news, settle)
        self.commit(self.lake.empty(self.name), removed, news, written=written)
        return True

    def _change(self, source: str, by: Difference) -> Change:
        """Raises FileNotFoundError: nobody can tell any more what has changed."""
        rows = self.lake.changed(source, by, self._columns(source))
        gained, lost = (
            refreshed(self.frames, self.name, {source: rows.filter(pl.col(SIGN) == sign).drop(SIGN)})
            for sign in (1, -1)
        )
        return Change.of(gained, lost, list(table(self.name).key), self.totals)

    def _rewritten(self, change: Change, news: Mapping[str, News]) -> Iterator[tuple[str, pl.DataFrame]]:
        """The rows of each file that changes, one file at a time; last, of no file, those that are new."""
        key, compared = list(table(self.name).key), list(table(self.name).compared_columns)
        again, known = self._again(change.again), pl.DataFrame(schema=change.again.schema)
        keys = change.keys
        files = self.lake.files(self.name)
        for path in files.holding(key[0], keys[key[0]]):
            rows = self.lake.read(self.name, [path])
            before = rows.join(keys, key, "semi", nulls_equal=True)
            known = pl.concat([known, before.select(key)])
            after = self._after(change.among(before), before.select(compared), again)
            fresh, stale = self._differing(after, before, news)
            if fresh.height or stale.height:
                yield path, pl.concat([rows.join(stale, key, "anti", nulls_equal=True), fresh])
        new = keys.join(known, key, "anti", nulls_equal=True)
        rows = pl.concat([change.applied(again.clear(), self.totals).select(compared), again])
        fresh, _ = self._differing(rows.join(new, key, "semi", nulls_equal=True), again.clear(), news)
        if fresh.height:
            yield "", fresh

    def _after(self, change: Change, before: pl.DataFrame, again: pl.DataFrame) -> pl.DataFrame:
        """What becomes of these rows, of which `change` is."""
        key = list(table(self.name).key)
        without = _without_sum(before, self.totals).select(key).join(change.again, key, "anti", nulls_equal=True)
        with_sum = before.join(without, key, "anti", nulls_equal=True)
        added = change.applied(with_sum, self.totals).join(without, key, "anti", nulls_equal=True)
        rows = [each.select(before.columns) for each in (added, again, self._again(without))]
        return pl.concat(rows).join(before, key, "semi", nulls_equal=True)

    def _again(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of these keys from all that there is of them."""
        if keys.is_empty():
            return self.lake.empty(self.name, table(self.name).compared_columns)
        return self._rows([keys.with_columns(pl.lit(-FOREVER).alias(START), pl.lit(FOREVER).alias(END))])


def _without_sum(rows: pl.DataFrame, totals: Totals) -> pl.DataFrame:
    return rows.filter(pl.any_horizontal(pl.col(totals.sums).is_null()))
