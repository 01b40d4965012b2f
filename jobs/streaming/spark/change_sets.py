"""Change sets of replays, swapped in by the owner of the tables between its micro-batches.

Silver comes first, where it is repaired. The copies of an event may have come since the replay looked at silver, from a
lower position or after one that silver had lost: between recomputed rows and younger ones the lowest position wins, as
ever. The other tables get the recomputed rows, each in one commit. The rows of all events by which silver now differs
from the one that these were computed from are then refreshed as after a micro-batch. All of it reads fixed versions and
adds to nothing: an owner that dies in between does it again.
"""

import logging
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, Final, NoReturn

import polars as pl
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import StructType

from jobs.rust_engines import alerts, fraud, transactions
from jobs.spark_sql import ENRICHED, bound, run_sql
from jobs.streaming.spark import refresh
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.events import ATTRIBUTES, IDENTITY, VERSIONS
from jobs.streaming.spark.progress import Journal, journal_path, last_batch_ended
from jobs.streaming.spark.refreshes import Refreshes, computed_anew
from lakehouse.contracts.graph import EVENT_TABLES
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import table
from lakehouse.delta import open_table
from lakehouse.delta.describe import versions_read
from lakehouse.delta.notes import Asked
from lakehouse.replay import store
from lakehouse.replay.change_set import ATTEMPTS, ChangeSet, Code, Part
from lakehouse.replay.request import TOPIC_OF
from lakehouse.runtime.code_in_force import put_in_force
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_RECORD: Final = ("partition", "offset", "record_hash")
POLL_SECONDS: Final = 2.0
LOSERS: Final = """
SELECT /*+ BROADCAST(r) */ s.*
FROM {rows} s
LEFT SEMI JOIN {rivals} r
    ON s.user_id = r.user_id AND s.event_id = r.event_id AND s.event_time = r.event_time
    AND struct(r.partition, r.offset) < struct(s.partition, s.offset)
"""
"""The rows of whose event a rival holds a lower position. Two rows of one side are not compared: what an undo brings
back may hold an event twice."""

OTHER_CODE_STATUS: Final = 75
"""Tells this end from others in the supervisor's log."""

log = logging.getLogger(SPARK_INGEST)


@dataclass(frozen=True, slots=True)
class ChangeSets:
    """`alone` is entered while tables are written, so that no micro-batch is under way. `code`: what this process was
    started with, whatever lies there now."""

    spark: SparkSession
    settings: Settings
    alone: AbstractContextManager[object]
    code: str

    def follow(self) -> None:
        """Takes change sets as they come, in a thread that ends with the process."""
        threading.Thread(target=self._follow, name="change sets", daemon=True).start()

    def _follow(self) -> None:
        trouble = ""
        while True:
            before, trouble = trouble, ""
            try:
                if store.waiting(self.settings) and self.apply_next():
                    continue
            except ServiceDownError as down:
                trouble = str(down)
                if trouble != before:
                    log.warning("change sets wait: %s", trouble)
            except Exception:
                log.exception("a change set failed; it is tried again")
            sleep(POLL_SECONDS)

    def apply_next(self) -> bool:
        """Applies the oldest change set that waits, if there is one and no batch is half done; whether it did.

        Raises whatever a step raised; the change set waits on.
        """
        with self.alone:
            # After a kill, a batch may be half done: rows that it owes could not be told from lost ones.
            return last_batch_ended(self.settings) and self._apply_next()

    def _apply_next(self) -> bool:
        handed = store.take(self.settings)
        if handed is None:
            return False
        if handed.attempts >= ATTEMPTS:
            store.settle(
                self.settings, handed.replay, handed.kind, handed.result,
                f"its owner failed {handed.attempts} times to apply it, perhaps in part: see `lakehouse logs "
                f"job-{SPARK_INGEST}`",
            )  # fmt: skip
            return True
        change = ChangeSet.from_json(handed.content)
        if change.code and change.code.version != self.code:
            self._go_on_with(change.code)
        if error := change.outdated:
            store.settle(self.settings, handed.replay, handed.kind, None, error)
            return True
        Application(DeltaTables(self.spark, self.settings), change, handed).run()
        return True

    def _go_on_with(self, code: Code) -> NoReturn:
        """Ends this process so that the supervisor starts it again, with other code; the change set waits for that.

        By the owner, between two batches, and only once a change set is taken: one that is cancelled before leaves the
        code as it is.
        """
        put_in_force(self.settings, SPARK_INGEST, Path(code.path))
        log.info("goes on with code %s, for a change set", code.version)
        logging.shutdown()
        os._exit(OTHER_CODE_STATUS)


@dataclass(frozen=True, slots=True)
class Application:
    """One change set, swapped in and refreshed."""

    tables: DeltaTables
    change: ChangeSet
    handed: store.Handed

    def run(self) -> None:
        settings, change, handed = self.tables.settings, self.change, self.handed
        journal = Journal(journal_path(settings, "replays"), handed.replay)
        journal.begin()
        # Of the first attempt: a later one finds the tables changed already.
        before = handed.result or {
            "versions": {part.table: self.tables.version(part.table) for part in change.parts},
            "silver": {name: self.tables.version(name) for name in (*EVENT_TABLES, VERSIONS)},
        }
        store.note(settings, handed.replay, handed.kind, before)
        self._swap_each(journal, [part for part in change.parts if table(part.table).insert_only])
        changed = {name: self._changed(name, before["silver"][name]).persist() for name in EVENT_TABLES}
        try:
            self._swap_each(journal, [part for part in change.parts if not table(part.table).insert_only])
            with journal.step("refresh"):
                self._refresh(journal, changed)
        finally:
            for frame in changed.values():
                frame.unpersist()
        after = {part.table: self.tables.version(part.table) for part in change.parts}
        store.settle(settings, handed.replay, handed.kind, before | {"after": after})
        journal.end()

    def _swap_each(self, journal: Journal, parts: Iterable[Part]) -> None:
        for part in parts:
            with journal.step(part.table):
                version = computed_anew(partial(self._swap, part))
                journal.wrote(part.table, version)
            log.info("%s: %s is version %d", self.change.label, part.table, version)

    def _refresh(self, journal: Journal, changed: Mapping[str, DataFrame]) -> None:
        note = Asked(job=SPARK_INGEST, scope=f"refresh after {self.change.label}")
        paid = pl.DataFrame(changed[transactions.TABLE].select(*fraud.TOUCHED).toArrow())
        Refreshes(self.tables, journal, note).run(changed[refresh.CLICKS], changed[refresh.PURCHASES], paid)

    def _swap(self, part: Part) -> int:
        if table(part.table).insert_only:
            # What came after the replay's look at silver is nobody's to remove.
            recomputed, near, younger = self._sides(part)
            rows = _but(recomputed, self._losers(near, younger)).unionByName(_but(younger, self._losers(younger, near)))
            rows = self._with_what_was_learnt(rows)
        else:
            rows = self.tables.read(part.table, part.version, part.days or None, part.path)
        note = Asked(job=SPARK_INGEST, scope=self.change.label, read_versions=self._read(part.table))
        return self.tables.replace(part.table, rows.coalesce(refresh.FILES_PER_COMMIT), part.days, note)

    def _with_what_was_learnt(self, events: DataFrame) -> DataFrame:
        """`events` with the product versions that are valid for them, if more are known than at the replay's look: who
        learns one corrects silver as it is then, and not what is swapped in later."""
        versions = self.tables.version(VERSIONS)
        if versions == self.change.silver[VERSIONS] or "product_id" not in events.columns:
            return events
        return run_sql(
            self.tables.spark,
            ENRICHED,
            events=events.drop(*ATTRIBUTES),
            versions=self.tables.read(VERSIONS, versions),
        )

    def _sides(self, part: Part) -> tuple[DataFrame, DataFrame, DataFrame]:
        """Of a part of silver: the recomputed rows; those among them whose events the third has too; and the rows of
        silver that are younger than the replay's look at it, few beside the first."""
        limit = bound(self.change.bounds.get(TOPIC_OF[part.table], {}))
        recomputed = self.tables.read(part.table, part.version, part.days, part.path).where(sf.col("offset") <= limit)
        held = self.tables.read(part.table, self.tables.version(part.table), part.days)
        younger = held.where(sf.col("offset") > limit)
        near = recomputed.join(sf.broadcast(younger.select(*IDENTITY)), list(IDENTITY), "left_semi")
        return recomputed, near, younger

    def _losers(self, rows: DataFrame, rivals: DataFrame) -> DataFrame:
        return run_sql(self.tables.spark, LOSERS, rows=rows, rivals=rivals)

    def _read(self, name: str) -> dict[str, int]:
        """Which silver the swapped rows were computed from, by the sources that the table's commits name.

        Nothing for alerts: their refresh finds by itself the days on which its sources have changed since the last one.
        """
        if name == alerts.TABLE:
            return {}
        named: Mapping[str, Any] = versions_read(open_table(self.tables.settings, name))
        return {source: version for source, version in self.change.silver.items() if source in named}

    def _changed(self, name: str, before: int) -> DataFrame:
        """The events of a silver table whose rows the recomputed ones may not show: those by which it differs from the
        version that these were computed from, and, repaired, from the version `before`; and those that were
        recomputed and have lost. With an event that is gone go the rows that it was in."""
        then, now = self.change.silver[name], self.tables.version(name)
        changed = [self._only_in(name, *versions) for versions in {(now, then), (then, now), (before, now)}]
        repaired = [self._losers(*self._sides(part)[1:]) for part in self.change.parts if part.table == name]
        columns = changed[0].columns
        return refresh.union([*changed, *(lost.select(columns) for lost in repaired)])

    def _only_in(self, name: str, version: int, other: int) -> DataFrame:
        """Rows that the `other` version has not: of the files that only this one has, as those may hold rows that were
        only moved."""
        settings = self.tables.settings
        files = {*open_table(settings, name, version).file_uris()} - {*open_table(settings, name, other).file_uris()}
        contract = table(name)
        columns = StructType([f for f in schema(contract).fields if f.name not in contract.partition_by])
        if not files:
            return self.tables.read(name, other).limit(0).select(columns.names)
        paths = [uri.replace("s3://", "s3a://", 1) for uri in sorted(files)]
        rows = self.tables.spark.read.schema(columns).parquet(*paths)
        dates = [row[0] for row in rows.select(sf.to_date("event_time")).distinct().collect()]
        known = self.tables.read(name, other, dates).select(*_RECORD)
        return rows.join(known, list(_RECORD), "left_anti")


def _but(rows: DataFrame, losers: DataFrame) -> DataFrame:
    return rows.join(sf.broadcast(losers.select(*_RECORD)), list(_RECORD), "left_anti")
