"""A new stream of clicks that starts at a fixed offset, while `jobs.batch.migrate` does the backlog up to there.

Run as ``python -m jobs.streaming.spark.migrated``; ends as the ingest's driver does.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.ingest import not_held
from jobs.streaming.spark.micro_batch import judge, kafka_source, valid_events
from jobs.streaming.spark.query import AppId, run_query, serve, verified_topics
from lakehouse.checkpoints import current_checkpoint
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.owners import CLICKS_MIGRATED
from lakehouse.delta.notes import Batch
from lakehouse.migration_cut import take_cut
from lakehouse.settings import Settings

TABLE: Final = f"bronze.{CLICKS_MIGRATED}"
CONTRACT: Final = CLICKS


def typed(raw: DataFrame, settings: Settings) -> DataFrame:
    """The valid records as rows of `TABLE`. What is invalid is among the dead letters of `bronze.clicks` already."""
    return valid_events(judge(raw, settings), CONTRACT).withColumn("arrival_date", sf.to_date("arrival"))


@dataclass(frozen=True, slots=True)
class Append:
    """Handles micro-batches; a repeated one is a no-op by its Delta transaction."""

    settings: Settings
    app_id: AppId
    same_topics: Callable[[], None]

    def handle(self, raw: DataFrame, batch_id: int) -> None:
        rows = typed(raw, self.settings).persist()
        try:
            if rows.count():
                self.same_topics()
                tables = DeltaTables(raw.sparkSession, self.settings)
                tables.append(
                    TABLE,
                    not_held(tables, batch_id, TABLE, rows),
                    Batch(job=CLICKS_MIGRATED, batch_id=batch_id),
                    Transaction(self.app_id(), batch_id),
                )
        finally:
            rows.unpersist()


def run(settings: Settings) -> int:
    """Runs the query until it fails; returns the exit status.

    The cut is where a query without a checkpoint begins; one with a checkpoint goes on from that.
    """
    begun = current_checkpoint(settings, CLICKS_MIGRATED).start is not None
    start = None if begun else {CONTRACT.topic: take_cut(settings, TABLE, CONTRACT.topic).end}
    same_topics = verified_topics(settings, CLICKS_MIGRATED, start)
    spark = build_session(settings, settings.prefixed(CLICKS_MIGRATED))
    source = kafka_source(spark, settings, (CONTRACT,), current_checkpoint(settings, CLICKS_MIGRATED).start)
    return run_query(
        settings, CLICKS_MIGRATED, source.load(), lambda app_id: Append(settings, app_id, same_topics).handle
    )


if __name__ == "__main__":
    sys.exit(serve(run))
