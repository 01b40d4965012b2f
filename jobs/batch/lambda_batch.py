"""Lambda's batch layer: counts everything in bronze up to a cut, anew each time, and hands over to the speed layer.

Run as ``python -m jobs.batch.lambda_batch``. The cut is where bronze ends, or `--cut`. It uses the metrics' SQL that
`jobs.batch.rebuild` uses, and knows no history: what a run writes depends on bronze and the cut alone, so that a run
which was killed is simply done again.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from jobs.process import exit_status
from jobs.spark_session import build_session
from jobs.spark_sql import FIRST_OF_EACH, bound, refreshed, run_sql
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.refresh import union
from lakehouse.contracts.events import CLICKS, EVENTS, PURCHASES
from lakehouse.contracts.owners import LAMBDA_BATCH
from lakehouse.contracts.tables import LAMBDA_EVENTS, LAMBDA_METRICS, table
from lakehouse.delta import open_table
from lakehouse.delta.notes import Asked, HandedOver, Read
from lakehouse.kafka.consumer import ReadError
from lakehouse.kafka.offsets import parse_offsets
from lakehouse.kafka.topics import topic_ids
from lakehouse.lambda_layers import (
    BATCH_TABLES,
    TOPICS,
    HandOver,
    Offsets,
    batch_table,
    newest_hand_over,
)
from lakehouse.losses import known_losses
from lakehouse.settings import Settings

FILES: Final = 2
"""Of each day and table, at most."""

log = logging.getLogger(LAMBDA_BATCH)


@dataclass(frozen=True, slots=True)
class BatchLayer:
    """One run over bronze as pinned. `topics`: the ids of the topics that it was ingested from."""

    tables: DeltaTables
    bronze: dict[str, int]
    topics: dict[str, str]

    def end_of_bronze(self) -> Offsets:
        """A micro-batch appends a topic's records whole and in the order of their offsets: up to the highest one,
        bronze has all that are valid."""
        ends = {}
        for topic in TOPICS:
            highest = self._bronze(topic).groupBy("partition").agg(sf.max("offset").alias("offset"))
            ends[topic] = {row["partition"]: row["offset"] + 1 for row in highest.collect()}
        return ends

    def run(self, cut: Offsets) -> HandOver:
        """Writes every table anew; the last commit, of which the speed layer learns, is the hand-over."""
        versions: dict[str, int] = {}
        self._write(versions, cut, LAMBDA_EVENTS.name, union([self._events(topic, cut) for topic in TOPICS]))
        events = self.tables.read(LAMBDA_EVENTS.name, versions[LAMBDA_EVENTS.name])
        clicks, purchases = (events.where(sf.col("topic") == topic) for topic in (CLICKS.topic, PURCHASES.topic))
        inputs = {"silver.clicks": clicks, "silver.purchases": purchases}
        by_metric = {metric: self._computed(name, inputs) for metric, name in LAMBDA_METRICS.items()}
        for metric, rows in by_metric.items():
            self._write(versions, cut, batch_table(metric), rows)
        return HandOver(cut, versions, self.topics)

    def _write(self, versions: dict[str, int], cut: Offsets, name: str, rows: DataFrame) -> None:
        note: Read = Asked(job=LAMBDA_BATCH, scope=f"run of {LAMBDA_BATCH}", read_versions=self.bronze)
        if name == BATCH_TABLES[-1]:
            note = HandedOver(read_versions=self.bronze, cut=cut, versions=versions, topics=self.topics)
        versions[name] = self.tables.overwrite(name, rows.coalesce(FILES), note)
        log.info("%s: version %d", name, versions[name])

    def _bronze(self, topic: str) -> DataFrame:
        name = f"bronze.{EVENTS[topic].table}"
        return self.tables.read(name, self.bronze[name])

    def _events(self, topic: str, cut: Offsets) -> DataFrame:
        last = bound({partition: end - 1 for partition, end in cut.get(topic, {}).items()})
        records = self._bronze(topic).where(sf.col("offset") <= last)
        once = run_sql(self.tables.spark, FIRST_OF_EACH, events=records)
        gained = {
            "action": sf.lit(None).cast("string"),
            "amount_cents": sf.lit(None).cast("bigint"),
        }
        dated = once.withColumns({name: value for name, value in gained.items() if name not in once.columns})
        return dated.withColumn("event_date", sf.to_date("event_time")).select(*LAMBDA_EVENTS.column_names)

    def _computed(self, name: str, inputs: Mapping[str, DataFrame]) -> DataFrame:
        """A table, and those before it that it is computed from, from `inputs`."""
        sources = {e: inputs[e] if e in inputs else self._computed(e, inputs) for e in table(name).reads}
        return refreshed(self.tables.spark, name, sources)


def run_batch(settings: Settings, cut: Offsets | None = None) -> HandOver:
    """Runs the batch layer up to `cut`, by default where bronze ends.

    Raises:
        ReadError: a topic was made anew: offsets no longer tell which records of bronze are counted.
        TableMissingError: bronze does not exist yet.
        ServiceDownError: MinIO does not answer.
        MissingJarsError: Spark is not installed.
    """
    bronze = {f"bronze.{EVENTS[topic].table}" for topic in TOPICS}
    pinned = {name: int(open_table(settings, name).version()) for name in sorted(bronze)}
    for topic, known in known_losses(settings, TOPICS).items():
        if any(each.loss.made_anew for each in known):
            raise ReadError(f"{topic} was made anew: the Lambda variant counts by offset, and bronze has some twice")
    topics = topic_ids(settings, TOPICS)
    newest_hand_over(settings)  # creates what is not there yet
    spark = build_session(settings, settings.prefixed(LAMBDA_BATCH))
    try:
        layer = BatchLayer(DeltaTables(spark, settings), pinned, topics)
        cut = layer.end_of_bronze() if cut is None else cut
        log.info("up to %s", {topic: sum(partitions.values()) for topic, partitions in cut.items()})
        return layer.run(cut)
    finally:
        spark.stop()


def _offsets(text: str) -> Offsets:
    try:
        return parse_offsets(json.loads(text))
    except (ValueError, AttributeError, TypeError):
        raise argparse.ArgumentTypeError(f'{text!r} is not like {{"shop.clicks": {{"0": 1200}}}}') from None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.batch.lambda_batch",
        description="Lambda's batch layer: count bronze up to a cut and hand over to the speed layer.",
        epilog="""Example: python -m jobs.batch.lambda_batch --cut '{"shop.clicks": {"0": 1200}}'""",
    )
    parser.add_argument("--cut", type=_offsets, metavar="JSON", help="end offsets by topic and partition")
    arguments = parser.parse_args(argv)

    def work(settings: Settings) -> None:
        run_batch(settings, arguments.cut)

    return exit_status(log, work)


if __name__ == "__main__":
    sys.exit(main())
