"""Running totals per user in Spark's state store, and the MERGE that brings them into their table."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as sf
from pyspark.sql.streaming.stateful_processor import StatefulProcessor, StatefulProcessorHandle

from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from lakehouse.contracts.owners import SPARK_STATE
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Said

JOB: Final = SPARK_STATE
TABLE: Final = f"gold.{JOB}"

CHANGED: Final = (
    "user_id STRING, purchases BIGINT, revenue_cents DECIMAL(38,0), first_purchase BIGINT, last_purchase BIGINT,"
    " fingerprint DECIMAL(38,0), records ARRAY<STRUCT<partition: INT, offset: BIGINT>>"
)
"""What a micro-batch changed: a user's totals after it, and the positions of the records that changed them. Times in
milliseconds; revenue wider than its column, which is null where it doesn't fit."""

_TOTAL: Final = (
    "purchases BIGINT, revenue_cents DECIMAL(38,0), first_purchase BIGINT, last_purchase BIGINT,"
    " fingerprint DECIMAL(38,0)"
)
_IDENTITY: Final = "event_id STRING, event_time BIGINT"
_COUNTED: Final = "partition INT, offset BIGINT, amount_cents BIGINT, record_hash BIGINT"

Counted = tuple[int, int, int, int]
"""Of a purchase that the total has: partition, offset, amount and hash of the record that counts."""


class UserTotals(StatefulProcessor):
    """A user's total, and of each event that it has counted which record it was.

    An event's records may come in any order and any number of batches: the lowest (partition, offset) counts, and takes
    the place of one that was counted before it. So the total doesn't depend on order, nor on what a shuffle does
    to it, and is exact for as long as identities are kept: here for ever. The state grows by one entry per purchase.
    """

    def init(self, handle: StatefulProcessorHandle) -> None:
        self._total = handle.getValueState("total", _TOTAL)
        self._counted = handle.getMapState("counted", _IDENTITY, _COUNTED)

    def handleInputRows(self, key: Any, rows: Iterator[Any], timerValues: Any) -> Iterator[Row]:  # noqa: ARG002, N802, N803
        """Called once per user and micro-batch; yields the user's total if the records change it."""
        held = self._total.get()
        purchases, revenue, first, last, fingerprint = held if held is not None else (0, 0, None, None, 0)
        revenue, fingerprint = int(revenue), int(fingerprint)
        records = []
        for row in rows:
            identity = (row.event_id, row.event_time)
            rival: Counted | None = self._counted.getValue(identity)
            if rival is not None and (rival[0], rival[1]) <= (row.partition, row.offset):
                continue
            if rival is None:
                purchases += 1
            else:
                revenue -= rival[2]
                fingerprint -= rival[3]
            self._counted.updateValue(identity, (row.partition, row.offset, row.amount_cents, row.record_hash))
            revenue += row.amount_cents
            fingerprint += row.record_hash
            first = row.event_time if first is None else min(first, row.event_time)
            last = row.event_time if last is None else max(last, row.event_time)
            records.append((row.partition, row.offset))
        if not records:
            return
        total = (purchases, Decimal(revenue), first, last, Decimal(fingerprint))
        self._total.update(total)
        yield Row(
            user_id=key[0],
            purchases=purchases,
            revenue_cents=Decimal(revenue),
            first_purchase=first,
            last_purchase=last,
            fingerprint=Decimal(fingerprint),
            records=records,
        )

    def close(self) -> None:
        pass


def running_totals(purchases: DataFrame) -> DataFrame:
    """A stream of valid purchases with their positions -> a stream of `CHANGED`, for update mode."""
    events = purchases.select(
        "user_id",
        "event_id",
        sf.unix_millis("event_time").alias("event_time"),
        "amount_cents",
        "partition",
        "offset",
        "record_hash",
    )
    return events.groupBy("user_id").transformWithState(UserTotals(), CHANGED, "Update", "None")


def merge(tables: DeltaTables, changed: DataFrame, batch_id: int, note: Said, once: Transaction | None) -> None:
    """Brings `changed` (rows of `CHANGED`) into the table, in one commit.

    Idempotent by batch id, twice: the commit carries it as a Delta transaction (`once`), so that a batch repeated
    after a kill is a no-op; and a row is replaced by one of a later batch alone, so that a batch that was set aside
    may be merged after its successors.
    """
    rows = changed.select(
        "user_id",
        "purchases",
        sf.expr("TRY_CAST(revenue_cents AS BIGINT)").alias("revenue_cents"),
        sf.timestamp_millis("first_purchase").alias("first_purchase"),
        sf.timestamp_millis("last_purchase").alias("last_purchase"),
        sf.col("purchases").alias("events"),
        "fingerprint",
        sf.lit(batch_id).cast("bigint").alias("batch_id"),
    ).select(*table(TABLE).column_names)
    target = DeltaTable.forPath(tables.spark, tables.path(TABLE))
    with tables.committing(note, once):
        (
            target.alias("held")
            .merge(rows.alias("new"), "held.user_id = new.user_id")
            .whenMatchedUpdateAll("new.batch_id > held.batch_id")
            .whenNotMatchedInsertAll()
            .execute()
        )
