"""A micro-batch: Kafka's records, judged once, cached, and told apart by topic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.streaming.readwriter import DataStreamReader

from lakehouse.checkpoints import Positions
from lakehouse.contracts.events import CLICKS, PRODUCTS, PROFILES, PURCHASES, TRANSACTIONS, EventContract
from lakehouse.kafka.offsets import partition_counts, spark_offsets
from lakehouse.settings import Settings

INGESTED: Final = (CLICKS, PURCHASES, PRODUCTS, PROFILES)
"""What this job brings into bronze, or among the dead letters."""
CONTRACTS: Final = (*INGESTED, TRANSACTIONS)
"""What it reads: transactions have another ingester, and are read for silver."""
_EARLIEST: Final = -2
"""What Spark calls a partition's first record."""


def kafka_stream(spark: SparkSession, settings: Settings, start: Positions | None = None) -> DataFrame:
    """The topics from `start`, without it from their beginnings, as raw records.

    Events come in batches of at most `spark_max_offsets_per_trigger`: at once while half of that waits, else
    every `spark_trigger_seconds`. The changelogs are small and come whole, so that a backlog of clicks doesn't
    outrun the product versions it is enriched with.
    """
    events = kafka_source(spark, settings, (CLICKS, PURCHASES, TRANSACTIONS), start)
    changelogs = kafka_source(spark, settings, (PRODUCTS, PROFILES), start, whole=True)
    return events.load().unionByName(changelogs.load())


def kafka_source(
    spark: SparkSession,
    settings: Settings,
    contracts: Sequence[EventContract],
    start: Positions | None = None,
    *,
    whole: bool = False,
) -> DataStreamReader:
    """The topics of `contracts` from `start`, in batches as `kafka_stream` says; `whole`: however much waits.

    Spark heeds `start` when a checkpoint begins, and never again.
    """
    first = "earliest"
    if start is not None:
        counts = partition_counts(settings)
        every = {c.topic: range(counts[settings.prefixed(c.topic)]) for c in contracts}
        known = {topic: {p: start.get(topic, {}).get(p, _EARLIEST) for p in ps} for topic, ps in every.items()}
        first = spark_offsets(settings, known)
    source = (
        spark.readStream.format("kafka")
        .options(**kafka_options(settings))
        .option("subscribe", ",".join(settings.prefixed(c.topic) for c in contracts))
        .option("startingOffsets", first)
        .option("minOffsetsPerTrigger", max(1, settings.spark_max_offsets_per_trigger // 2))
        .option("maxTriggerDelay", f"{settings.spark_trigger_seconds}s")
    )
    return source if whole else source.option("maxOffsetsPerTrigger", settings.spark_max_offsets_per_trigger)


def kafka_options(settings: Settings) -> dict[str, str]:
    """What every read of Kafka by Spark has in common."""
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap,
        # Java's clients read aborted records by default.
        "kafka.isolation.level": "read_committed",
        # Records that retention took before they were read are a loss to be told, not skipped.
        "failOnDataLoss": "true",
    }


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Judged records of one micro-batch.

    `offsets`: by topic and partition, the first offset and the one after the last.
    """

    batch_id: int
    records: DataFrame
    offsets: Mapping[str, Mapping[int, tuple[int, int]]]
    counts: Mapping[str, int]
    """Valid records by topic."""
    dead: int
    """Invalid ones of the topics in `INGESTED`."""
    input_rows: int
    """All records."""

    def events(self, contract: EventContract) -> DataFrame:
        """The valid records of a topic: payload columns, position, arrival, value and hash."""
        return valid_events(self.records, contract)

    def dead_letters(self) -> DataFrame:
        ingested = sf.col("topic").isin([c.topic for c in INGESTED])
        return self.records.where(ingested & sf.col("reason").isNotNull())

    def summary(self) -> dict[str, Any]:
        """For the journal: how many records, from where to where."""
        return {
            "input_rows": self.input_rows,
            "dead_letters": self.dead,
            "offsets": {
                topic: {str(p): {"from": first, "to": end} for p, (first, end) in sorted(partitions.items())}
                for topic, partitions in self.offsets.items()
            },
        }


def judge(raw: DataFrame, settings: Settings) -> DataFrame:
    """Raw Kafka records with their contract's verdict, their position without namespace, and their hash."""
    prefix = settings.prefixed("")
    positioned = raw.select(
        sf.expr(f"substring(topic, {len(prefix) + 1})").alias("topic"),
        "partition",
        "offset",
        sf.col("timestamp").alias("arrival"),
        "key",
        "value",
    )
    judged = positioned.select(
        "*",
        sf.expr("record_hash(topic, partition, offset, value)").alias("record_hash"),
        *(
            sf.expr(
                f"CASE WHEN topic = '{c.topic}' THEN validate_{c.table}(key, value, unix_millis(arrival)) END"
            ).alias(_verdict(c))
            for c in CONTRACTS
        ),
    )
    return judged.select(
        "*",
        sf.coalesce(*(_of_verdict(c, "reason") for c in CONTRACTS)).alias("reason"),
        sf.coalesce(*(_of_verdict(c, "field") for c in CONTRACTS)).alias("field"),
    )


def valid_events(records: DataFrame, contract: EventContract) -> DataFrame:
    """Of judged records the valid ones of a topic: payload columns, position, arrival, value and hash."""
    return records.where((sf.col("topic") == contract.topic) & sf.col("reason").isNull()).select(
        f"{_verdict(contract)}.event.*", "topic", "partition", "offset", "arrival", "value", "record_hash"
    )


def learn(records: DataFrame, batch_id: int) -> MicroBatch:
    """Counts `records` (cached: this pass fills the cache)."""
    rows = (
        records.groupBy("topic", "partition")
        .agg(
            sf.min("offset").alias("first"),
            sf.max("offset").alias("last"),
            sf.count(sf.lit(1)).alias("rows"),
            sf.count("reason").alias("dead"),
        )
        .collect()
    )
    offsets: dict[str, dict[int, tuple[int, int]]] = {}
    counts = {c.topic: 0 for c in CONTRACTS}
    for row in rows:
        offsets.setdefault(row["topic"], {})[row["partition"]] = (row["first"], row["last"] + 1)
        counts[row["topic"]] += row["rows"] - row["dead"]
    dead = sum(row["dead"] for row in rows if row["topic"] in {c.topic for c in INGESTED})
    return MicroBatch(batch_id, records, offsets, counts, dead, sum(row["rows"] for row in rows))


def _verdict(contract: EventContract) -> str:
    return f"verdict_{contract.table}"


def _of_verdict(contract: EventContract, field: str) -> Column:
    return sf.col(f"{_verdict(contract)}.{field}")
