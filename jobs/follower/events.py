"""Silver's events: what bronze brings is inserted once, by identity; what is learnt late of it is corrected.

A correction is a commit of its own, before the insertions, and the last commit says how far was read: a kill between
them costs a repetition, which finds its events known. Of a bronze table that has gained more than a batch, a cycle
takes a batch.

What is late touches old rows of all tables: where that costs much, it waits in memory for others, and the log does not
say meanwhile that what it came with was read.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import polars as pl

from jobs.follower.lake import FILE, SIGN, News
from jobs.follower.node import Node
from jobs.follower.parts import Executors, Part
from jobs.rust_engines.enrichment import ATTRIBUTES, VERSIONS, enriched
from jobs.rust_engines.transactions import IDENTITY, first_of_each, typed
from lakehouse.contracts.tables import table
from lakehouse.semantics.scopes import FOREVER

BATCH: Final = 250_000
"""Records that a cycle takes at most, but for those of one file."""
FEW: Final = 50_000
"""Of more records that have arrived at once none waits."""
LATE: Final = timedelta(hours=1)
"""Events are late that lie so far before half of those that they arrive with: before the newest of them would make all
late by one click of the future."""

_POSITION: Final = ("partition", "offset")
_MINUTE_MS: Final = 60_000
_VERSION: Final = ("product_id", "category", "brand", "price_cents", "valid_from", "valid_to")


@dataclass(slots=True)
class Events(Node):
    """One of `EVENT_TABLES`. `batch` as `BATCH`; `executors` insert what is many records."""

    batch: int = BATCH
    executors: Executors | None = None
    late_waits: bool = False
    """Whether in this cycle what is late waits for one to come."""
    arrived: int = 0
    """Records in the last cycle."""
    _taken: frozenset[str] = frozenset()
    _late: pl.DataFrame | None = None

    @property
    def bronze(self) -> str:
        return self.name.replace("silver.", "bronze.")

    @property
    def _columns(self) -> list[str]:
        """Of bronze, those that silver keeps."""
        return [c for c in table(self.bronze).column_names if c in table(self.name).column_names]

    @property
    def _has_versions(self) -> bool:
        return VERSIONS in self.room.contract.reads

    def follow(self, news: Mapping[str, News], settle: bool) -> bool:
        corrected = VERSIONS in news and self._reenrich(news[VERSIONS])
        return self._insert(news, settle) or corrected

    def forget(self) -> None:
        Node.forget(self)
        self._taken, self._late = frozenset(), None

    @property
    def something_waits(self) -> bool:
        return self._late is not None

    def _insert(self, news: Mapping[str, News], settle: bool) -> bool:
        if (elsewhere := self._elsewhere(news, settle)) is not None:
            return elsewhere
        arrived, gone, rest = self._arrived(news[self.bronze])
        self.arrived = arrived.height
        arrived, late = self._late_apart(arrived, waits=self.late_waits and not rest and gone.is_empty())
        if late is not None:
            rest = self._gained(news[self.bronze])
        self._late = late
        if arrived.is_empty() and gone.is_empty():
            self._taken = rest
            return late is None if rest else self.nothing_changes(news, settle)
        first = first_of_each(pl.concat([arrived, self._others(gone)]))
        held = self._held(pl.concat([first.select(IDENTITY), gone.select(IDENTITY)]))
        stale = held.filter(_displaced(held, first, gone))
        fresh = first.join(held, IDENTITY, "anti")
        last = {} if rest else news
        if stale.height:
            won = self._enriched(first.join(stale, IDENTITY, "semi"))
            why = "judged_anew" if gone.height else "lower_position"
            self._replace(stale, won, {} if fresh.height else last, why)
        if fresh.height:
            self.commit(self._enriched(fresh), [], last)
        elif stale.is_empty() and not rest:
            self._taken = frozenset()
            return self.nothing_changes(news, settle)
        self._taken = rest
        return bool(stale.height or fresh.height or (rest and late is None))

    def _late_apart(self, arrived: pl.DataFrame, waits: bool) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """What is taken now, of what has waited and has arrived; and what goes on waiting, if there is any."""
        waiting = arrived.clear() if self._late is None else self._late
        if not waits or arrived.height > FEW or waiting.height > FEW:
            return pl.concat([waiting, arrived]), None
        middle = pl.col("event_time").median()
        is_late = arrived.select((pl.col("event_time") < middle - LATE).alias("late")).to_series()
        late = pl.concat([waiting, arrived.filter(is_late)])
        return arrived.filter(~is_late), late if late.height else None

    def _elsewhere(self, news: Mapping[str, News], settle: bool) -> bool | None:
        """Has executors insert what is many records and corrects none; None: it is not."""
        of = news[self.bronze]
        if self.executors is None or (of.difference is not None and of.difference.lost):
            return None
        chosen, rest = self._chosen(of, self.executors.batch)
        records = self.lake.part_of(self.bronze, chosen, self._columns)
        if not chosen or records.rows < self.executors.at_least or not (rest or self._gone(of).is_empty()):
            return None
        versions = self.lake.files(VERSIONS).paths if self._has_versions else None
        known = None if versions is None else self.lake.part_of(VERSIONS, versions, _VERSION)
        written = self.executors.inserted(self.name, records, self._near, known)
        if written is None:
            return None
        self._taken = rest
        if not written and not rest:
            return self.nothing_changes(news, settle)
        if written:
            self.commit(self.lake.empty(self.name), [], {} if rest else news, written=written)
        return True

    def _near(self, minutes: pl.Series) -> Part:
        """Which events silver has of these minutes since the epoch, and from which records."""
        start = minutes * _MINUTE_MS
        files = self.lake.files(self.name).between("event_time", "event_time", start, start + _MINUTE_MS - 1)
        return self.lake.part_of(self.name, files, (*IDENTITY, *_POSITION))

    def _arrived(self, news: News) -> tuple[pl.DataFrame, pl.DataFrame, frozenset[str]]:
        """Records that bronze has gained and that this cycle takes; those that it has lost; and, where some are left
        for cycles to come, the files that were taken."""
        none = self.lake.empty(self.bronze, self._columns)
        if news.difference is not None and news.difference.lost:
            try:
                changed = self.lake.changed(self.bronze, news.difference, self._columns)
            except FileNotFoundError:
                return self._arrived(replace(news, difference=None))
            lost = changed.filter(pl.col(SIGN) < 0).drop(SIGN)
            return changed.filter(pl.col(SIGN) > 0).drop(SIGN), pl.concat([lost, self._gone(news)]), frozenset()
        chosen, rest = self._chosen(news, self.batch)
        arrived = self.lake.read(self.bronze, sorted(chosen), self._columns)
        return arrived, none if rest else self._gone(news), rest

    def _chosen(self, news: News, batch: int) -> tuple[set[str], frozenset[str]]:
        """Of the files that bronze has gained those that this cycle takes; and, where some are left for cycles to come,
        all that were taken."""
        files = self.lake.files(self.bronze)
        chosen, records = set[str](), 0
        for path in sorted(self._gained(news) - self._taken):
            records += files.rows[path] or 0
            if chosen and records > batch:
                return chosen, self._taken | chosen
            chosen.add(path)
        return chosen, frozenset()

    def _gained(self, news: News) -> frozenset[str]:
        return frozenset(self.lake.files(self.bronze).paths) if news.difference is None else news.difference.gained

    def _gone(self, news: News) -> pl.DataFrame:
        """Records that silver may have and that bronze has no more: which came and went again, and may have been taken
        with a batch in between, whose commit does not say how far was read; or any, where nobody can tell."""
        if not self.lake.files(self.name).paths:
            return self.lake.empty(self.bronze, self._columns)
        since = news.since if news.difference is not None else None
        passed = None if since is None else self.lake.passed(self.bronze, since, news.until)
        if passed is None:
            return self._not_in_bronze()
        try:
            rows = self.lake.read(self.bronze, sorted(passed), self._columns)
        except FileNotFoundError:
            return self._not_in_bronze()
        still = self.lake.read(self.bronze, self.lake.files(self.bronze).paths if passed else [], _POSITION)
        return rows.join(still, _POSITION, "anti")

    def _not_in_bronze(self) -> pl.DataFrame:
        """What silver has of records that bronze has no more."""
        held = self.lake.read(self.name, self.lake.files(self.name).paths, self._columns)
        records = self.lake.read(self.bronze, self.lake.files(self.bronze).paths, _POSITION)
        return held.join(records, _POSITION, "anti")

    def _others(self, gone: pl.DataFrame) -> pl.DataFrame:
        """The records that bronze still has of these events."""
        if gone.is_empty():
            return gone
        times = gone["event_time"].dt.epoch("ms")
        files = self.lake.files(self.bronze).between("event_time", "event_time", times, times)
        return self.lake.read(self.bronze, files, self._columns).join(gone, IDENTITY, "semi")

    def _held(self, events: pl.DataFrame) -> pl.DataFrame:
        """Which of these silver has: from which record, and in which file."""
        near = self._near((events["event_time"].dt.epoch("ms") // _MINUTE_MS).unique())
        return self.lake.part(near, located=True).join(events, IDENTITY, "semi")

    def _replace(self, stale: pl.DataFrame, rows: pl.DataFrame, news: Mapping[str, News], why: str) -> None:
        """Puts `rows` in place of those that are stale."""
        removed = stale[FILE].unique().to_list()
        kept = self.lake.read(self.name, removed).join(stale, IDENTITY, "anti")
        self.commit(pl.concat([kept, rows]), removed, news, why)

    def _reenrich(self, news: News) -> bool:
        """Corrects what a product version, learnt late, is valid for; returns whether there was any."""
        files = self.lake.files(self.name)
        if not files.paths:
            return False
        changed = self._changed_versions(news)
        if changed.is_empty():
            return False
        since = pl.Series([changed["valid_from"].min()], dtype=changed.schema["valid_from"]).dt.epoch("ms")
        near = files.between("event_time", "event_time", since, pl.Series([FOREVER]))
        columns = [*IDENTITY, "product_id", *ATTRIBUTES]
        outdated = []
        for path, rows in self.lake.read_each(self.name, near, columns).items():
            met = rows.join(changed, "product_id", "semi")
            again = self._with_versions(met.drop(ATTRIBUTES)).select(met.columns)
            if met.join(again, met.columns, "anti", nulls_equal=True).height:
                outdated.append(path)
        if not outdated:
            return False
        rows = self._enriched(self.lake.read(self.name, outdated).drop(ATTRIBUTES))
        self.commit(rows, outdated, {VERSIONS: news}, "late_product_version")
        return True

    def _changed_versions(self, news: News) -> pl.DataFrame:
        """All there are, where nobody can tell."""
        if news.difference is not None:
            with suppress(FileNotFoundError):
                return self.lake.changed(VERSIONS, news.difference, _VERSION)
        return self.lake.read(VERSIONS, self.lake.files(VERSIONS).paths, _VERSION)

    def _enriched(self, events: pl.DataFrame) -> pl.DataFrame:
        return typed(self.name, self._with_versions(events))

    def _with_versions(self, events: pl.DataFrame) -> pl.DataFrame:
        if not self._has_versions:
            return events
        versions = self.lake.read(VERSIONS, self.lake.files(VERSIONS).paths, _VERSION)
        return enriched(events, versions.lazy())


def _displaced(held: pl.DataFrame, first: pl.DataFrame, gone: pl.DataFrame) -> pl.Series:
    """Which of silver's rows another record stands for from now on: one from a lower (partition, offset); or, of events
    of which records have gone, whichever is the first that is left, if any."""
    partition, offset = _POSITION
    winners = first.select(*IDENTITY, winner=partition, winner_offset=offset)
    judged = gone.select(IDENTITY).unique().with_columns(judged=pl.lit(True))
    met = held.join(winners, IDENTITY, "left", maintain_order="left").join(
        judged, IDENTITY, "left", maintain_order="left"
    )
    same_partition = pl.col("winner") == pl.col(partition)
    lower = (pl.col("winner") < pl.col(partition)) | (same_partition & (pl.col("winner_offset") < pl.col(offset)))
    same = same_partition & (pl.col("winner_offset") == pl.col(offset))
    other = pl.col("judged").fill_null(False) & ~same.fill_null(False)
    return met.select((lower.fill_null(False) | other).alias("displaced")).to_series()
