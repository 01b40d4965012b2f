"""Writes the backlog of a migration: what a topic held when the migration's cut was taken.

Run as ``python -m jobs.batch.migrate``. The stream ``clicks__migrated`` starts where the backlog ends, at the same
cut, and need not wait for it (`lakehouse.cut`). Killed and run again, this job goes on at the chunk that it had not
committed.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Final

from pyspark.sql import DataFrame, SparkSession

from jobs.process import exit_status
from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.micro_batch import kafka_options
from jobs.streaming.spark.migrated import CONTRACT, TABLE, typed
from lakehouse.delta import open_table
from lakehouse.delta.notes import Batch
from lakehouse.kafka.offsets import spark_offsets
from lakehouse.migration_cut import CHUNK_RECORDS, Offsets, take_cut
from lakehouse.settings import Settings

JOB: Final = "migrate"
log = logging.getLogger(JOB)


def migrate(settings: Settings, chunk_records: int = CHUNK_RECORDS) -> int:
    """Writes all chunks that are not written yet; returns how many those were.

    A chunk's commit carries its number as a Delta transaction, and chunks follow from the cut alone: so one whose
    commit was acknowledged to a process that then died is neither missed nor written again.

    Raises:
        ServiceDownError: Kafka or MinIO does not answer.
        TableError: the table is not as it should be.
    """
    cut = take_cut(settings, TABLE, CONTRACT.topic, chunk_records)
    chunks, app_id = list(cut.chunks()), settings.prefixed(f"{JOB}.{TABLE}")
    done = open_table(settings, TABLE).transaction_version(app_id)
    owed = list(enumerate(chunks))[0 if done is None else done + 1 :]
    log.info("backlog up to %s: %d of %d chunks to write", dict(cut.end), len(owed), len(chunks))
    if not owed:
        return 0
    spark = build_session(settings, settings.prefixed(JOB))
    try:
        tables = DeltaTables(spark, settings)
        for number, (first, end) in owed:
            rows = typed(_records(spark, settings, first, end), settings)
            tables.append(TABLE, rows, Batch(job=JOB, batch_id=number), Transaction(app_id, number))
            log.info("chunk %d of %d: %s records", number + 1, len(chunks), sum(end.values()) - sum(first.values()))
    finally:
        spark.stop()
    return len(owed)


def _records(spark: SparkSession, settings: Settings, first: Offsets, end: Offsets) -> DataFrame:
    """Raises, when it is read, if retention has taken one of these records."""
    return (
        spark.read.format("kafka")
        .options(**kafka_options(settings))
        .option("subscribe", settings.prefixed(CONTRACT.topic))
        .option("startingOffsets", spark_offsets(settings, {CONTRACT.topic: first}))
        .option("endingOffsets", spark_offsets(settings, {CONTRACT.topic: end}))
        .load()
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.batch.migrate",
        description=f"Write the backlog of {TABLE}, up to where the stream clicks__migrated begins.",
        epilog="Example: lakehouse job start clicks__migrated; python -m jobs.batch.migrate",
    )
    parser.add_argument(
        "--chunk-records",
        type=int,
        default=CHUNK_RECORDS,
        help="records of a commit, about; the first run's holds (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)

    def work(settings: Settings) -> None:
        migrate(settings, arguments.chunk_records)

    return exit_status(log, work)


if __name__ == "__main__":
    sys.exit(main())
