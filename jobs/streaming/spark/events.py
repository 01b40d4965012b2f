"""`silver.clicks` and `silver.purchases`: each event once, with the product version valid at its time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from jobs.spark_sql import ENRICHED, FIRST_OF_EACH, run_sql
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.micro_batch import MicroBatch
from jobs.streaming.spark.refresh import only
from lakehouse.contracts.events import EventContract
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Caused

VERSIONS: Final = "silver.products"
IDENTITY: Final = ("user_id", "event_id", "event_time")

OUTDATED: Final = """
SELECT DISTINCT e.event_date
FROM {events} e
LEFT JOIN {versions} p
    ON e.product_id = p.product_id
    AND e.event_time >= p.valid_from AND (p.valid_to IS NULL OR e.event_time < p.valid_to)
WHERE NOT (
    e.product_valid_from <=> p.valid_from AND e.category <=> p.category
    AND e.brand <=> p.brand AND e.price_cents <=> p.price_cents
)
"""

KNOWN: Final = """
SELECT /*+ BROADCAST(i) */
    s.*,
    struct(s.partition, s.offset) > struct(i.partition, i.offset) AS higher,
    s.partition = i.partition AND s.offset = i.offset AS same
FROM {held} s
JOIN {incoming} i ON s.user_id = i.user_id AND s.event_id = i.event_id AND s.event_time = i.event_time
"""
"""Silver's rows of the incoming identities: the day joined with the broadcast batch. The other way round, as an
anti-join of the batch, it would shuffle the day."""

ATTRIBUTES: Final = ("category", "brand", "price_cents", "product_valid_from")


@dataclass(frozen=True, slots=True)
class Inserted:
    """`displaced`: silver's rows from a higher (partition, offset) than the incoming record of the same event, if any;
    to be given to `SilverEvents.displace`. `others` (cached): these, and in a repeated batch the records that such a
    correction may have displaced before it was killed. What they affected is to be refreshed."""

    version: int
    displaced: DataFrame | None = None
    others: Sequence[DataFrame] = ()


@dataclass(frozen=True, slots=True)
class SilverEvents:
    """Brings one topic's events of a batch into silver. `versions` pins ``silver.products``; `note`: what commits
    say beside that version."""

    tables: DeltaTables
    contract: EventContract
    versions: int
    note: Caused

    @property
    def name(self) -> str:
        return f"silver.{self.contract.table}"

    def _noted(self) -> Caused:
        return self.note.reading({VERSIONS: self.versions})

    def _enrich(self, events: DataFrame) -> DataFrame:
        return run_sql(self.tables.spark, ENRICHED, events=events, versions=self.tables.read(VERSIONS, self.versions))

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written: a table's creation is its version 0."""
        return self.tables.version(self.name) == 0

    def insert(self, incoming: DataFrame, dates: Collection[date]) -> Inserted:
        """Adds those of `incoming` (one row per identity, with `event_date`, cached) that silver lacks.

        A repeated batch finds its events known and adds nothing; a kill before the commit leaves nothing.
        """
        if self.empty:
            return Inserted(self.tables.append(self.name, self._enrich(incoming), self._noted()))
        known = run_sql(self.tables.spark, KNOWN, held=self._current(dates), incoming=sf.broadcast(incoming)).persist()
        try:
            found = only(known.agg(sf.count_if("higher").alias("higher"), sf.count_if("same").alias("same")))
            displaced = known.where("higher") if found["higher"] else None
            losers = self._losers(known.where("same")) if found["same"] else None
            fresh = incoming.join(sf.broadcast(known.select(*IDENTITY)), list(IDENTITY), "left_anti")
            version = self.tables.append(self.name, self._enrich(fresh), self._noted())
            others = [rows.select(*incoming.columns).persist() for rows in (displaced, losers) if rows is not None]
            return Inserted(version, others[0] if displaced is not None else None, others)
        finally:
            known.unpersist()

    def _losers(self, winners: DataFrame) -> DataFrame:
        """Bronze's other records of the events that silver has from this very batch, so that it is a repetition.

        The attempt that was killed may have displaced some of them and not have refreshed what they affected;
        silver no longer shows which.
        """
        bronze = f"bronze.{self.contract.table}"
        records = self.tables.read(bronze, self.tables.version(bronze)).withColumn(
            "event_date", sf.to_date("event_time")
        )
        position = sf.struct("partition", "offset").alias("position")
        others = records.join(sf.broadcast(winners.select(*IDENTITY, position)), list(IDENTITY))
        return others.where(sf.col("position") < sf.struct("partition", "offset"))

    def displace(self, displaced: DataFrame, incoming: DataFrame) -> int:
        """Gives events that silver holds from a higher (partition, offset) the incoming record instead.

        Happens only when a foreign producer spreads a key over partitions, as a key's own offsets only grow. What
        the displaced rows affected is to be refreshed like what the new ones affect.
        """
        stale = {row[0] for row in displaced.select("event_date").distinct().collect()}
        keys = sf.broadcast(displaced.select(*IDENTITY))
        kept = self._current(stale).join(keys, list(IDENTITY), "left_anti")
        new = self._enrich(incoming.join(keys, list(IDENTITY), "left_semi"))
        return self._replace(kept, new, stale, "lower_position")

    def settle(self, judged: DataFrame) -> int:
        """Makes silver's rows of the events of `judged` (identity and date) those that bronze has of them now, if any.

        For records that were judged anew: one is gone or has come, and if it is the first of its event, another stands
        for it, or no longer does. A repetition writes the same rows.
        """
        dates = {row[0] for row in judged.select("event_date").distinct().collect()}
        keys = sf.broadcast(judged.select(*IDENTITY).distinct())
        bronze = f"bronze.{self.contract.table}"
        # No event arrives a day before its own time.
        since = sf.col("arrival_date") >= sf.lit(min(dates) - timedelta(days=1))
        records = self.tables.read(bronze, self.tables.version(bronze)).where(since)
        dated = records.join(keys, list(IDENTITY), "left_semi").withColumn("event_date", sf.to_date("event_time"))
        first = run_sql(self.tables.spark, FIRST_OF_EACH, events=dated).drop("copy", "value", "arrival_date")
        kept = self._current(dates).join(keys, list(IDENTITY), "left_anti")
        return self._replace(kept, self._enrich(first), dates, "judged_anew")

    def reenrich(self, products: DataFrame) -> int | None:
        """Corrects what a product version of the batch, learnt late, is valid for.

        A commit of its own, since readers of a stream of silver skip commits that remove rows. The days with a
        row whose attributes are no longer right are enriched anew; a repetition finds none.
        """
        earliest = only(products.agg(sf.min("valid_from").alias("first")))["first"]
        ids = sf.broadcast(products.select("product_id").distinct())
        events = (
            self._current(None)
            .where((sf.col("event_date") >= sf.lit(earliest.date())) & (sf.col("event_time") >= sf.lit(earliest)))
            .join(ids, "product_id", "left_semi")
        )
        versions = self.tables.read(VERSIONS, self.versions).join(ids, "product_id", "left_semi")
        outdated = run_sql(self.tables.spark, OUTDATED, events=events, versions=versions)
        stale = {row["event_date"] for row in outdated.collect()}
        if not stale:
            return None
        rows = self._enrich(self._current(stale).drop(*ATTRIBUTES))
        return self._replace(None, rows, stale, "late_product_version")

    def _current(self, dates: Collection[date] | None) -> DataFrame:
        return self.tables.read(self.name, self.tables.version(self.name), dates)

    def _replace(self, kept: DataFrame | None, rows: DataFrame, dates: Collection[date], correction: str) -> int:
        columns = table(self.name).column_names
        content = rows.select(*columns)
        if kept is not None:
            content = kept.select(*columns).union(content)
        return self.tables.replace(self.name, content.coalesce(2), dates, self._noted().correcting(correction, dates))


def first_of_each(tables: DeltaTables, batch: MicroBatch, contract: EventContract) -> DataFrame:
    """One record of each event in the batch, the one with the lowest (partition, offset)."""
    events = batch.events(contract).drop("value").withColumn("event_date", sf.to_date("event_time"))
    return run_sql(tables.spark, FIRST_OF_EACH, events=events).drop("copy")
