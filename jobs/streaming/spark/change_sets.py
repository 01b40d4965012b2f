"""Change sets of replays, swapped in by the owner of the tables between its micro-batches.

A table gets the recomputed rows in one commit. What silver has gained since they were computed is then refreshed as
after a micro-batch. Both read fixed versions and add to nothing: an owner that dies in between does all of it again.
"""

import logging
import os
import threading
from collections.abc import Mapping
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
from jobs.spark_sql import bound
from jobs.streaming.spark import refresh
from jobs.streaming.spark.delta_tables import Commit, DeltaTables
from jobs.streaming.spark.events import VERSIONS
from jobs.streaming.spark.progress import Journal, journal_path, last_batch_ended
from jobs.streaming.spark.refreshes import PINNED, Refreshes, computed_anew
from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import SPARK_INGEST, table
from lakehouse.delta import open_table
from lakehouse.delta.describe import versions_read
from lakehouse.replay import store
from lakehouse.replay.change_set import ChangeSet, Code, Part, contracts_of
from lakehouse.replay.request import TOPIC_OF
from lakehouse.runtime.code_in_force import put_in_force
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_RECORD: Final = ("partition", "offset", "record_hash")
POLL_SECONDS: Final = 2.0
ATTEMPTS: Final = 3
"""How often a change set is tried before it is refused: one that always fails would stop the streams."""

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
        if contracts_of(part.table for part in change.parts) != change.contracts:
            error = "the contracts of its tables have changed since it was computed: plan the replay again"
            store.settle(self.settings, handed.replay, handed.kind, None, error)
            return True
        tables = DeltaTables(self.spark, self.settings)
        repairs_silver = any(table(part.table).insert_only for part in change.parts)
        if repairs_silver and tables.version(VERSIONS) != change.silver[VERSIONS]:
            error = "silver is to be repaired, and product versions were learnt since it was computed: replay again"
            store.settle(self.settings, handed.replay, handed.kind, None, error)
            return True
        Application(tables, change, handed).run()
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
            "silver": {name: self.tables.version(name) for name in (*PINNED, VERSIONS)},
        }
        store.note(settings, handed.replay, handed.kind, before)
        gained = {name: self._gained(name).persist() for name in PINNED}
        try:
            for part in change.parts:
                with journal.step(part.table):
                    version = computed_anew(partial(self._swap, part))
                    journal.wrote(part.table, version)
                log.info("%s: %s is version %d", change.label, part.table, version)
            with journal.step("refresh"):
                self._refresh(journal, gained)
        finally:
            for frame in gained.values():
                frame.unpersist()
        after = {part.table: self.tables.version(part.table) for part in change.parts}
        store.settle(settings, handed.replay, handed.kind, before | {"after": after})
        journal.end()

    def _refresh(self, journal: Journal, gained: Mapping[str, DataFrame]) -> None:
        label = f"refresh after {self.change.label}"
        paid = pl.DataFrame(gained[transactions.TABLE].select(*fraud.TOUCHED).toArrow())
        refreshes = Refreshes(self.tables, journal, 0, label, {"scope": label})
        refreshes.run(gained[refresh.CLICKS], gained[refresh.PURCHASES], paid)

    def _swap(self, part: Part) -> int:
        contract = table(part.table)
        rows = self.tables.read(part.table, part.version, part.days or None, part.path)
        if contract.insert_only:
            # What came after the replay's look at silver is nobody's to remove.
            limit = bound(self.change.bounds.get(TOPIC_OF[part.table], {}))
            held = self.tables.read(part.table, self.tables.version(part.table), part.days)
            rows = rows.where(sf.col("offset") <= limit).unionByName(held.where(sf.col("offset") > limit))
        commit = Commit(SPARK_INGEST, 0, self._read(part.table), {"scope": self.change.label})
        return self.tables.replace(part.table, rows.coalesce(refresh.FILES_PER_COMMIT), part.days, commit)

    def _read(self, name: str) -> dict[str, int]:
        """Which silver the swapped rows were computed from, by the sources that the table's commits name.

        Nothing for alerts: their refresh finds by itself the days on which its sources have changed since the last one.
        """
        if name == alerts.TABLE:
            return {}
        named: Mapping[str, Any] = versions_read(open_table(self.tables.settings, name))
        return {source: version for source, version in self.change.silver.items() if source in named}

    def _gained(self, name: str) -> DataFrame:
        """Silver's rows that the version has not which the change set was computed from: of the files that came since,
        as those may hold rows that were only moved."""
        settings, then = self.tables.settings, self.change.silver[name]
        files = {*open_table(settings, name).file_uris()} - {*open_table(settings, name, then).file_uris()}
        if not files:
            return self.tables.read(name, then).limit(0)
        contract = table(name)
        columns = StructType([f for f in schema(contract).fields if f.name not in contract.partition_by])
        paths = [uri.replace("s3://", "s3a://", 1) for uri in sorted(files)]
        rows = self.tables.spark.read.schema(columns).parquet(*paths)
        dates = [row[0] for row in rows.select(sf.to_date("event_time")).distinct().collect()]
        known = self.tables.read(name, then, dates).select(*_RECORD)
        return rows.join(known, list(_RECORD), "left_anti")
