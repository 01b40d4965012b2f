"""The streams that the comparison runs: Kappa for the three tables alone, and what brings Lambda its bronze.

Run as ``python -m experiments.architectures.streams kappa`` or ``ingest``. Both are made of the steps of the driver
`spark_lakehouse`, which makes a dozen tables more: beside three tables of Lambda it would look dear. Order and
repetition are as there; what a foreign producer displaces is not corrected, as none takes part.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl
from pyspark.sql import DataFrame

from jobs.rust_engines import revenue
from jobs.spark_session import build_session
from jobs.streaming.spark import events, ingest, refresh
from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.micro_batch import MicroBatch, judge, kafka_source, learn
from jobs.streaming.spark.progress import Journal, journal_path
from jobs.streaming.spark.query import AppId, run_query, serve
from jobs.streaming.spark.refreshes import together
from lakehouse.contracts.events import CLICKS, PURCHASES, EventContract
from lakehouse.contracts.tables import DEAD_LETTERS, LAMBDA_METRICS
from lakehouse.delta import create_table
from lakehouse.delta.notes import Batch
from lakehouse.settings import Settings

KAPPA: Final = "kappa"
INGEST: Final = "ingest"
TOPICS: Final = (CLICKS, PURCHASES)
TABLES: Final = {
    INGEST: ("bronze.clicks", "bronze.purchases", DEAD_LETTERS),
    KAPPA: (
        "bronze.clicks",
        "bronze.purchases",
        DEAD_LETTERS,
        "bronze.products",
        events.VERSIONS,
        refresh.CLICKS,
        refresh.PURCHASES,
        "silver.session_parts",
        revenue.REGION_5M,
        *LAMBDA_METRICS.values(),
    ),
}
"""What each writes, and the catalogue that silver is enriched with, which is empty here."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Handles the micro-batches of `job`."""

    settings: Settings
    job: str
    app_id: AppId

    def handle(self, raw: DataFrame, batch_id: int) -> None:
        journal = Journal(journal_path(self.settings, self.job), batch_id)
        journal.begin()
        records = judge(raw, self.settings).coalesce(self.settings.parallelism).persist()
        try:
            batch = learn(records, batch_id)
            tables = DeltaTables(raw.sparkSession, self.settings)
            if batch.input_rows:
                self._ingest(tables, batch, journal)
                if self.job == KAPPA:
                    self._derive(tables, batch, journal)
            journal.end(**batch.summary())
        finally:
            records.unpersist()

    def _ingest(self, tables: DeltaTables, batch: MicroBatch, journal: Journal) -> None:
        note, once = Batch(job=self.job, batch_id=batch.batch_id), Transaction(self.app_id(), batch.batch_id)
        together(
            journal,
            *((f"bronze.{c.table}", lambda c=c: ingest.append_events(tables, batch, c, note, once)) for c in TOPICS),
            (DEAD_LETTERS, lambda: ingest.append_dead_letters(tables, batch, note, once)),
        )

    def _derive(self, tables: DeltaTables, batch: MicroBatch, journal: Journal) -> None:
        incoming = {c: events.first_of_each(tables, batch, c).persist() for c in TOPICS}
        catalogue, note = tables.version(events.VERSIONS), Batch(job=self.job, batch_id=batch.batch_id)

        def insert(c: EventContract) -> int | None:
            if not batch.counts[c.topic]:
                return None
            dates = {row[0] for row in incoming[c].select("event_date").distinct().collect()}
            silver = events.SilverEvents(tables, c, catalogue, note)
            return silver.insert(incoming[c], dates).version

        try:
            together(journal, *((f"silver.{c.table}", lambda c=c: insert(c)) for c in TOPICS))
            versions = {name: tables.version(name) for name in (refresh.CLICKS, refresh.PURCHASES)}
            touched = (incoming[CLICKS], incoming[PURCHASES])
            cycle = refresh.Cycle(tables, versions, *touched, note)
            together(
                journal,
                ("silver.sessions", lambda: refresh.refresh_sessions(cycle).get("silver.sessions")),
                (refresh.PRODUCT_METRICS, lambda: refresh.refresh_windows(cycle, refresh.PRODUCT_METRICS)),
                (revenue.REGION_DAILY, lambda: _revenue(cycle)),
            )
        finally:
            for frame in incoming.values():
                frame.unpersist()


def _revenue(cycle: refresh.Cycle) -> int | None:
    touched: pl.DataFrame = cycle.touched_purchases()
    if touched.is_empty():
        return None
    version, replacement = cycle.versions[refresh.PURCHASES], cycle.replacement("revenue", refresh.PURCHASES)
    return dict(revenue.Refresh(touched, version, replacement).regions())[revenue.REGION_DAILY]


def run(settings: Settings, job: str) -> int:
    """Runs the stream until it fails; returns the exit status."""
    for name in TABLES[job]:
        create_table(settings, name)
    spark = build_session(settings, settings.prefixed(job))
    source = kafka_source(spark, settings, TOPICS)
    return run_query(settings, job, source.load(), lambda app_id: Stream(settings, job, app_id).handle)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=(KAPPA, INGEST))
    job = parser.parse_args(argv).job
    return serve(lambda settings: run(settings, job))


if __name__ == "__main__":
    sys.exit(main())
