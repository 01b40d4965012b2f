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
from deltalake import DeltaTable

from jobs.follower.lake import FILE
from jobs.rust_engines.enrichment import ATTRIBUTES, VERSIONS, enriched
from jobs.rust_engines.recompute import beyond, not_displaced
from jobs.rust_engines.transactions import typed
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import table
from lakehouse.cuts import versions_of
from lakehouse.delta import OvertakenError, open_table, scan_opened
from lakehouse.delta.files import Source, commit_files, read_each, write_files
from lakehouse.delta.layout import Files, cut
from lakehouse.delta.notes import Asked
from lakehouse.replay import store
from lakehouse.replay.change_set import ChangeSet, Part, contracts_of
from lakehouse.replay.request import TOPIC_OF
from lakehouse.replay.staging import open_staged
from lakehouse.runtime.lease import lease
from lakehouse.semantics.metrics import ROOMS
from lakehouse.settings import Settings

ATTEMPTS: Final = 3
"""How often a change set is tried before it is refused."""
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
        change, error = ChangeSet.from_json(handed.content), None
        if handed.attempts >= ATTEMPTS:
            error = f"it failed {handed.attempts} times, perhaps in part: `lakehouse replay status` shows why"
        elif contracts_of(part.table for part in change.parts) != change.contracts:
            error = "the contracts of its tables have changed since it was computed: plan the replay again"
        if error:
            store.settle(settings, handed.replay, handed.kind, handed.result, error)
            return True
        # Of the first attempt: a later one finds the tables changed already.
        names = [part.table for part in change.parts]
        before = handed.result or {"versions": versions_of(settings, names), "silver": dict(change.silver)}
        store.note(settings, handed.replay, handed.kind, before)
        for part in sorted(change.parts, key=lambda part: DERIVED.index(part.table)):
            version = Swap(settings, change, part).put()
            log.info("%s: %s is version %d", change.label, part.table, version)
        store.settle(settings, handed.replay, handed.kind, before | {"after": versions_of(settings, names)})
        return True


@dataclass(frozen=True, slots=True)
class Swap:
    """One part of a change set."""

    settings: Settings
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
        settings, name = self.settings, self.part.table
        contract, opened = table(name), open_table(settings, name)
        held = self._held(opened)
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
            return int(opened.version())
        removed = stale[FILE].unique().to_list()
        kept = held.filter(pl.col(FILE).is_in(removed)).join(stale, _ROW, "anti").drop(FILE, _ROW)
        if "changed_by" in contract.column_names:
            fresh = fresh.with_columns(changed_by=pl.lit(self.change.label))
        frames = cut(typed(name, pl.concat([kept, fresh.select(kept.columns)])), contract.cut_by or key[0])
        note = Asked(job=JOB, scope=self.change.label, read_versions={s.name: v for s, v in read.items() if v >= 0})
        written = write_files(settings, name, frames)
        return commit_files(settings, name, opened, written, removed, note, read, "replay")

    def _held(self, opened: DeltaTable) -> pl.DataFrame:
        """The rows of files with rows of the days, with the file of each and a number."""
        name, files = self.part.table, Files(opened)
        spans = files.days(table(name).day).items()
        near = [p for p, span in spans if span is None or any(span[0] <= day <= span[1] for day in self.part.days)]
        found = read_each(self.settings, name, near if self.part.days else files.paths).items()
        located = [rows.with_columns(pl.lit(path).alias(FILE)) for path, rows in found]
        none = scan_opened(self.settings, name, opened).head(0).collect().with_columns(pl.lit("").alias(FILE))
        return pl.concat([none, *located]).with_row_index(_ROW)

    def _of_days(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.col("event_date").is_in(list(self.part.days))) if self.part.days else rows

    def _rows(self, held: pl.DataFrame) -> tuple[pl.DataFrame, Mapping[Source, int]]:
        """The rows that are to be, and up to which versions of its sources they are computed (-1: nobody knows)."""
        settings, part = self.settings, self.part
        given = open_staged(settings, part.path, part.version)
        rows = self._of_days(scan_opened(settings, part.table, given).collect())
        if table(part.table).insert_only:
            return self._merged(rows, held)
        staged = part.path != settings.table_path(part.table, "s3a")
        read = {}
        for name in table(part.table).reads:
            source = Source.of(name, open_table(settings, name))
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
        rows = not_displaced(recomputed.lazy(), younger).collect()
        younger = not_displaced(younger, recomputed.lazy())
        read: dict[Source, int] = {}
        if VERSIONS in table(self.part.table).reads:
            versions = open_table(self.settings, VERSIONS)
            read[Source.of(VERSIONS, versions)] = int(versions.version())
            known = scan_opened(self.settings, VERSIONS, versions)
            if versions.version() != self.change.silver[VERSIONS]:
                rows = typed(self.part.table, enriched(rows.drop(ATTRIBUTES), known))
        return pl.concat([rows.select(held.columns), younger.collect().select(held.columns)]), read
