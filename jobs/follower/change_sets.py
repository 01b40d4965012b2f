"""Change sets of replays, put in place beside the running follower by whoever carries out a replay.

The follower meets such a commit as it meets anybody's. Each says up to which versions its rows are computed: so the
follower brings them up to what has come since, and what follows from them too. Silver comes first, where it is
repaired. The copies of an event may have come since the replay looked at silver, from a lower position or after one
that silver had lost: between recomputed rows and younger ones the lowest position wins, as ever.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from jobs.follower.lake import FILE, Lake
from jobs.rust_engines.enrichment import ATTRIBUTES, VERSIONS, enriched
from jobs.rust_engines.recompute import beyond, not_displaced
from jobs.rust_engines.transactions import typed
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import table
from lakehouse.cuts import versions_of
from lakehouse.delta import OvertakenError, scan_opened
from lakehouse.delta.files import Source
from lakehouse.delta.notes import Asked
from lakehouse.replay import store
from lakehouse.replay.change_set import ATTEMPTS, ChangeSet, Part
from lakehouse.replay.request import TOPIC_OF
from lakehouse.replay.staging import open_staged
from lakehouse.runtime.lease import lease
from lakehouse.semantics.metrics import ROOMS
from lakehouse.settings import Settings

_TRIES: Final = 50
"""How often a part is computed anew because the follower has committed to its table meanwhile."""
_PATIENCE_SECONDS: Final = 3_600.0
JOB: Final = "replay"
_ROW: Final = "_row"

log = logging.getLogger(JOB)


def apply_next(settings: Settings) -> bool:
    """Applies the oldest change set for which somebody waits, if there is one; whether it did. One at a time.

    Raises:
        LeaseHeldError: another has been at it for an hour.
        TableError, ServiceDownError: a table or a service is not there; the change set waits on.
    """
    with lease(settings, "change_sets", _PATIENCE_SECONDS):
        handed = store.take(settings)
        if handed is None:
            return False
        change = ChangeSet.from_json(handed.content)
        error = change.outdated
        if handed.attempts >= ATTEMPTS:
            error = f"it failed {handed.attempts} times, perhaps in part: `lakehouse replay status` shows why"
        if error:
            store.settle(settings, handed.replay, handed.kind, handed.result, error)
            return True
        # Of the first attempt: a later one finds the tables changed already.
        names = [part.table for part in change.parts]
        before = handed.result or {"versions": versions_of(settings, names), "silver": dict(change.silver)}
        store.note(settings, handed.replay, handed.kind, before)
        lake = Lake(settings)
        for part in sorted(change.parts, key=lambda part: DERIVED.index(part.table)):
            version = Swap(lake, change, part).put()
            log.info("%s: %s is version %d", change.label, part.table, version)
        store.settle(settings, handed.replay, handed.kind, before | {"after": versions_of(settings, names)})
        return True


@dataclass(frozen=True, slots=True)
class Swap:
    """One part of a change set."""

    lake: Lake
    change: ChangeSet
    part: Part

    def put(self) -> int:
        """Lets the table's rows of the days be those of the part, in one commit; returns the version that has them."""
        for _ in range(_TRIES - 1):
            try:
                return self._put()
            except OvertakenError as overtaken:
                log.info("%s is computed anew: %s", self.part.table, overtaken)
        return self._put()

    def _put(self) -> int:
        name, contract = self.part.table, table(self.part.table)
        held = self._held()
        within = self._of_days(held)
        rows, read = self._rows(within.drop(FILE, _ROW))
        key, compared = list(contract.key), list(contract.compared_columns)
        right = (
            within.join(rows, compared, "semi", nulls_equal=True)
            .filter(pl.struct(key).is_unique())
            .join(rows.filter(pl.struct(key).is_duplicated()), key, "anti", nulls_equal=True)
        )
        fresh = rows.join(right, compared, "anti", nulls_equal=True)
        stale = within.join(right, _ROW, "anti")
        if fresh.is_empty() and stale.is_empty():
            return self.lake.version(name)
        removed = stale[FILE].unique().to_list()
        kept = held.filter(pl.col(FILE).is_in(removed)).join(stale, _ROW, "anti").drop(FILE, _ROW)
        if "changed_by" in contract.column_names:
            fresh = fresh.with_columns(changed_by=pl.lit(self.change.label))
        note = Asked(job=JOB, scope=self.change.label, read_versions={s.name: v for s, v in read.items() if v >= 0})
        written = self.lake.write(name, pl.concat([kept, fresh.select(kept.columns)]), keep=False)
        return self.lake.commit(name, written, removed, note, read)

    def _held(self) -> pl.DataFrame:
        """The rows of files with rows of the days, with the file of each and a number."""
        name, files = self.part.table, self.lake.files(self.part.table)
        near = files.within("event_date", ((day, day) for day in self.part.days)) if self.part.days else files.paths
        return self.lake.located(name, near, table(name).column_names).with_row_index(_ROW)

    def _of_days(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("event_date").is_in(list(self.part.days))) if self.part.days else rows

    def _rows(self, held: pl.DataFrame) -> tuple[pl.DataFrame, Mapping[Source, int]]:
        """The rows that are to be, and up to which versions of its sources they are computed (-1: nobody knows)."""
        settings, part = self.lake.settings, self.part
        given = open_staged(settings, part.path, part.version)
        rows = self._of_days(scan_opened(settings, part.table, given).collect())
        if table(part.table).insert_only:
            return self._merged(rows, held)
        staged = part.path != settings.table_path(part.table, "s3a")
        read = {}
        for name in table(part.table).reads:
            source = Source.of(name, self.lake.opened(name))
            if not staged:
                version = source.position(given)
            elif ROOMS[part.table].totals:  # they are added to, and hold what their source gets by this change set too
                version = None
            else:
                version = self.change.silver.get(name)
            read[source] = -1 if version is None else version
        return rows, read

    def _merged(self, recomputed: pl.DataFrame, held: pl.DataFrame) -> tuple[pl.DataFrame, Mapping[Source, int]]:
        """Events: what came after the replay's look at silver is nobody's to remove. `recomputed` rows get the product
        versions that are valid for them as they are known now."""
        bounds = self.change.bounds.get(TOPIC_OF[self.part.table], {})
        younger = beyond(held.lazy(), bounds)
        # What came between the replay's look and its swap is in the version, too, that an undo brings back.
        position = ["partition", "offset"]
        recomputed = recomputed.join(younger.select(position).collect(), position, "anti")
        rows = not_displaced(recomputed.lazy(), younger).collect()
        younger = not_displaced(younger, recomputed.lazy())
        read: dict[Source, int] = {}
        if VERSIONS in table(self.part.table).reads:
            version = self.lake.refresh(VERSIONS)
            read[Source.of(VERSIONS, self.lake.opened(VERSIONS))] = version
            if version != self.change.silver[VERSIONS]:
                known = self.lake.read(VERSIONS, self.lake.files(VERSIONS).paths)
                rows = typed(self.part.table, enriched(rows.drop(ATTRIBUTES), known.lazy()))
        return pl.concat([rows.select(held.columns), younger.collect().select(held.columns)]), read
