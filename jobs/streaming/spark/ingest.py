"""Bronze: every record of a micro-batch, typed if it is valid, else as a dead letter with its reason."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.micro_batch import MicroBatch
from lakehouse.contracts.events import EventContract
from lakehouse.contracts.tables import DEAD_LETTERS
from lakehouse.delta.notes import Said

RECORD = ("topic", "partition", "offset", "arrival")


def append_events(
    tables: DeltaTables, batch: MicroBatch, contract: EventContract, note: Said, once: Transaction
) -> int | None:
    """Appends a topic's valid records; returns the version, None without any.

    Bronze can't tell a repeated record from a new one by content, so the commit carries the batch's id as a
    Delta transaction: when a killed batch is repeated, with the same records, its append is a no-op.
    """
    if not batch.counts[contract.topic]:
        return None
    name = f"bronze.{contract.table}"
    rows = batch.events(contract).withColumn("arrival_date", sf.to_date("arrival"))
    return tables.append(name, not_held(tables, batch.batch_id, name, rows), note, once)


def append_dead_letters(tables: DeltaTables, batch: MicroBatch, note: Said, once: Transaction) -> int | None:
    """Appends what is invalid, with raw bytes, position and reason; see `append_events`."""
    if not batch.dead:
        return None
    rows = batch.dead_letters().withColumn("arrival_date", sf.to_date("arrival"))
    return tables.append(DEAD_LETTERS, not_held(tables, batch.batch_id, DEAD_LETTERS, rows).coalesce(1), note, once)


def not_held(tables: DeltaTables, batch_id: int, name: str, rows: DataFrame) -> DataFrame:
    """Of `rows`, what a checkpoint's first batch may append to a bronze table; all, of later ones.

    A new checkpoint counts its batches anew and under another id, and may begin where a batch of the one before it was
    half done. So what its first batch finds in the table already is left out.
    """
    version = tables.version(name)
    if batch_id or not version:  # version 0 has no rows
        return rows
    # By its arrival, too, a record is known from one at the same offset of a topic that was deleted.
    since = rows.agg(sf.min("arrival_date")).first()[0]  # type: ignore[index]
    held = tables.read(name, version).where(sf.col("arrival_date") >= since).select(*RECORD)
    return rows.join(held, [*RECORD], "left_anti")
