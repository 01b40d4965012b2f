"""Bronze: every record of a micro-batch, typed if it is valid, else as a dead letter with its reason."""

from pyspark.sql import functions as sf

from jobs.streaming.spark.delta_tables import Commit, DeltaTables, Transaction
from jobs.streaming.spark.micro_batch import MicroBatch
from lakehouse.contracts.events import EventContract

DEAD_LETTERS = "bronze.dead_letters"


def append_events(
    tables: DeltaTables, batch: MicroBatch, contract: EventContract, commit: Commit, once: Transaction
) -> int | None:
    """Appends a topic's valid records; returns the version, None without any.

    Bronze can't tell a repeated record from a new one by content, so the commit carries the batch's id as a
    Delta transaction: when a killed batch is repeated, with the same records, its append is a no-op.
    """
    if not batch.counts[contract.topic]:
        return None
    rows = batch.events(contract).withColumn("arrival_date", sf.to_date("arrival"))
    return tables.append(f"bronze.{contract.table}", rows, commit, once)


def append_dead_letters(tables: DeltaTables, batch: MicroBatch, commit: Commit, once: Transaction) -> int | None:
    """Appends what is invalid, with raw bytes, position and reason; see `append_events`."""
    if not batch.dead:
        return None
    rows = batch.dead_letters().withColumn("arrival_date", sf.to_date("arrival"))
    return tables.append(DEAD_LETTERS, rows.coalesce(1), commit, once)
