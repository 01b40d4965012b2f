"""How far the Spark driver and its ingester of transactions have brought records into bronze, and what says so there:
Flink's ingest begins where the commits of the bronze tables end."""

from collections.abc import Iterator

import polars as pl
from deltalake import CommitProperties, DeltaTable

from lakehouse.checkpoints import Positions
from lakehouse.contracts.events import EVENTS, TRANSACTIONS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.owners import INGEST_TRANSACTIONS
from lakehouse.contracts.tables import BRONZE, DEAD_LETTERS, table
from lakehouse.cuts import CARRIED_OVER, read_id
from lakehouse.delta import Once, open_table, scan
from lakehouse.delta.notes import Asked
from lakehouse.delta.write import commit_once
from lakehouse.drained.positions import flink_positions
from lakehouse.kafka.consumer import read_partitions, stable_ranges
from lakehouse.kafka.topics import topic_ids
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import spark_positions


def ends(settings: Settings) -> Positions:
    """By topic and partition, the offset after the last record that is in bronze or a dead letter, of jobs that have
    ended. Raises ServiceDownError, ReadError."""
    by_driver = spark_positions(settings)
    of_driver = {topic: by_driver.get(topic, {}) for topic in EVENTS if topic != TRANSACTIONS.topic}
    return {**of_driver, TRANSACTIONS.topic: _of_transactions(settings)}


def _of_transactions(settings: Settings) -> dict[int, int]:
    """The ingester tells its group how far it is after each checkpoint, and may have ended in between. Whether a record
    that Kafka has beyond that is in bronze, its hash says: a topic that was made anew has others at its offsets."""
    low, high = stable_ranges(settings, [TRANSACTIONS.topic])[TRANSACTIONS.topic]
    told = flink_positions(settings, INGEST_TRANSACTIONS).get(TRANSACTIONS.topic, {})
    reached = {p: told.get(p, 0) for p in high}
    held = set(_held(settings, reached))
    if not held:
        return reached
    beyond = {p: max(reached[p], low[p]) for p, _, _ in held}
    last = {p: max(offset for q, offset, _ in held if q == p) + 1 for p in beyond}
    for record in read_partitions(settings, TRANSACTIONS.topic, beyond, last):
        place = (record.partition, record.offset)
        if (*place, record_hash(record.topic, *place, record.value)) in held:
            reached[record.partition] = record.offset + 1
    return reached


def _held(settings: Settings, since: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Position and hash of what is in bronze of transactions from these offsets on."""
    partition, offset = pl.col("partition"), pl.col("offset")
    beyond = pl.any_horizontal(pl.lit(False), *((partition == p) & (offset >= first) for p, first in since.items()))
    for name in (f"bronze.{TRANSACTIONS.table}", DEAD_LETTERS):
        rows = scan(settings, name).filter(pl.col("topic") == TRANSACTIONS.topic, beyond)
        yield from rows.select(partition, offset, "record_hash").collect().iter_rows()


def say(settings: Settings, ends: Positions, note: Asked) -> None:
    """Has each bronze table say, in a commit without files, how far its topics were read; one that does stays as it is.

    Raises what `lakehouse.delta.append` raises.
    """
    ids = topic_ids(settings, EVENTS)
    for name in BRONZE:
        topics = (t for t in table(name).reads if t in ends)
        positions = {read_id(t, ids[t], p): end for t in topics for p, end in ends[t].items() if end}
        opened = open_table(settings, name)
        if any(opened.transaction_version(app_id) != end for app_id, end in positions.items()):
            commit_once(settings, name, Once(CARRIED_OVER, None, positions=positions), _nothing, note, opened)


def _nothing(now: DeltaTable, properties: CommitProperties) -> None:
    now.create_write_transaction([], "append", now.schema(), None, commit_properties=properties)
