"""One micro-batch, from Kafka's records to gold, in an order that a kill at any point can't break.

bronze (once, by Delta transaction) -> product and profile versions -> silver events (insert of what is new)
-> corrections of silver -> refreshes from silver at one fixed version. Spark commits the batch to its
checkpoint after all of it; a batch that dies before is repeated whole, with the same records. Each step then
finds its work done and adds nothing, or does it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import polars as pl
from pyspark.sql import DataFrame

from jobs.rust_engines import fraud, transactions
from jobs.streaming.spark import events, ingest, refresh, versions
from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.micro_batch import INGESTED, MicroBatch, judge, learn
from jobs.streaming.spark.progress import Journal, journal_path
from jobs.streaming.spark.refreshes import CORRECTED, Refreshes, together
from lakehouse.contracts.events import CLICKS, PRODUCTS, PROFILES, PURCHASES, TRANSACTIONS, EventContract
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import DEAD_LETTERS
from lakehouse.delta.notes import Batch
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What handles micro-batches; `app_id` names the state (checkpoint) that counts them. `same_topics` raises once
    they come from other topics than before. `alone` is entered around each: nothing else of the driver writes then."""

    settings: Settings
    app_id: Callable[[], str]
    same_topics: Callable[[], None]
    alone: AbstractContextManager[object] = field(default_factory=nullcontext)

    def handle(self, raw: DataFrame, batch_id: int) -> None:
        """Called by Spark for each micro-batch, again with the same records if it did not return.

        Raises whatever a step raised: the query then ends, and the batch is repeated by the next driver.
        """
        journal = Journal(journal_path(self.settings), batch_id)
        journal.begin()
        try:
            with self.alone:
                self._handle(raw, batch_id, journal)
        except BaseException as error:
            journal.fail(error)
            raise

    def _handle(self, raw: DataFrame, batch_id: int, journal: Journal) -> None:
        records = judge(raw, self.settings).coalesce(self.settings.parallelism).persist()
        try:
            with journal.step("read"):
                batch = learn(records, batch_id)
            if batch.input_rows:
                self.same_topics()  # all is read now, and nothing written
                BatchRun(DeltaTables(raw.sparkSession, self.settings), batch, self.app_id(), journal).run()
            journal.end(**batch.summary())
        finally:
            records.unpersist()


@dataclass(frozen=True, slots=True)
class BatchRun:
    """The steps of one batch."""

    tables: DeltaTables
    batch: MicroBatch
    app_id: str
    journal: Journal

    def run(self) -> None:
        batch, tables = self.batch, self.tables
        note = Batch(job=SPARK_INGEST, batch_id=batch.batch_id)
        once = Transaction(self.app_id, batch.batch_id)
        with self.journal.step("bronze"):
            together(
                self.journal,
                *(
                    (f"bronze.{c.table}", lambda c=c: ingest.append_events(tables, batch, c, note, once))
                    for c in INGESTED
                ),
                (DEAD_LETTERS, lambda: ingest.append_dead_letters(tables, batch, note, once)),
            )
        with self.journal.step("versions"):
            together(
                self.journal,
                *(
                    (f"silver.{c.table}", lambda c=c: versions.refresh_versions(tables, batch, c, note))
                    for c in (PRODUCTS, PROFILES)
                ),
            )
        incoming = {c: events.first_of_each(tables, batch, c).persist() for c in (CLICKS, PURCHASES)}
        paid = pl.DataFrame(batch.events(TRANSACTIONS).drop("value").toArrow())
        try:
            self._silver_and_refreshes(incoming, paid, note)
        finally:
            for frame in incoming.values():
                frame.unpersist()

    def _silver_and_refreshes(self, incoming: dict[EventContract, DataFrame], paid: pl.DataFrame, note: Batch) -> None:
        catalog = self.tables.version(events.VERSIONS)
        silver = {c: events.SilverEvents(self.tables, c, catalog, note) for c in incoming}
        silver_transactions = transactions.SilverTransactions(self.tables.settings, note)
        inserted: dict[EventContract, events.Inserted] = {}
        # Events that this batch brings are enriched with all versions known: only older ones can be outdated.
        with_older_events = {c for c in incoming if not silver[c].empty}

        def insert(contract: EventContract) -> int | None:
            if not self.batch.counts[contract.topic]:
                return None
            dates = {row[0] for row in incoming[contract].select("event_date").distinct().collect()}
            inserted[contract] = silver[contract].insert(incoming[contract], dates)
            return inserted[contract].version

        def correct(contract: EventContract) -> int | None:
            version = None
            displaced = inserted[contract].displaced if contract in inserted else None
            if displaced is not None:
                version = silver[contract].displace(displaced, incoming[contract])
            if self.batch.counts[PRODUCTS.topic] and contract in with_older_events:
                version = silver[contract].reenrich(self.batch.events(PRODUCTS)) or version
            return version

        def touched(contract: EventContract) -> DataFrame:
            return refresh.union([incoming[contract], *(inserted[contract].others if contract in inserted else ())])

        try:
            with self.journal.step("silver"):
                together(
                    self.journal,
                    *((silver[c].name, lambda c=c: insert(c)) for c in incoming),
                    (transactions.TABLE, lambda: silver_transactions.insert(paid)),
                )
            with self.journal.step("corrections"):
                together(
                    self.journal,
                    *((silver[c].name + CORRECTED, lambda c=c: correct(c)) for c in incoming),
                    (transactions.TABLE + CORRECTED, lambda: silver_transactions.displace(paid)),
                )
            with self.journal.step("refresh"):
                refreshes = Refreshes(self.tables, self.journal, note)
                refreshes.run(touched(CLICKS), touched(PURCHASES), paid.select(fraud.TOUCHED))
        finally:
            for found in inserted.values():
                for frame in found.others:
                    frame.unpersist()
