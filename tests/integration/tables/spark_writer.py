"""Spark, as a process of its own, writing a table that others write too.

``python -m tests.integration.tables.spark_writer NAMESPACE NAME JOURNAL append|count [LOG_STORE]``; see `writing`.
LOG_STORE is the class that creates commit files, if not ours.
"""

import sys
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import CONFLICTS, DeltaTables, Transaction
from lakehouse.contracts.spark import schema
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Batch
from lakehouse.settings import load_settings
from tests.integration.tables.writing import COUNTERS, NAME, Acknowledged, rows, write_on_demand

TXN_APP_ID, TXN_VERSION = "spark.databricks.delta.write.txnAppId", "spark.databricks.delta.write.txnVersion"


def append(tables: DeltaTables, name: str, number: int) -> Acknowledged:
    """Spark itself tries again while others win: what it adds doesn't depend on theirs."""
    run, columns = f"{name}-{number}", schema(table(NAME))
    added = [tuple(row[column] for column in columns.names) for row in rows(run, number)]
    frame = tables.spark.createDataFrame(added, columns).coalesce(1)
    tables.append(NAME, frame, Batch(job=name, batch_id=number), Transaction(name, number))
    return Acknowledged(run, len(added))


def count(tables: DeltaTables, name: str, number: int) -> Acknowledged:
    """A MERGE that meets another's must be computed anew, by whoever asked for it: the sum it holds is outdated."""
    spark, key = tables.spark, COUNTERS[number % len(COUNTERS)]
    spark.conf.set(TXN_APP_ID, name)
    spark.conf.set(TXN_VERSION, str(number))
    conflicts = 0
    while True:
        try:
            _merge(spark, tables.path(NAME), key)
            return Acknowledged(key, 1, conflicts)
        except CONFLICTS:
            conflicts += 1


def _merge(spark: SparkSession, path: str, key: str) -> None:
    source = spark.createDataFrame([(key,)], "run_id string")
    target = DeltaTable.forPath(spark, path).alias("t").merge(source.alias("s"), "t.run_id = s.run_id")
    target.whenMatchedUpdate(set={"rows_checked": "t.rows_checked + 1"}).execute()


def main(namespace: str, name: str, journal: str, work: str, log_store: str | None = None) -> None:
    settings = load_settings().model_copy(update={"namespace": namespace})
    overrides = {"spark.delta.logStore.s3a.impl": log_store} if log_store else None
    spark = build_session(settings, name, overrides=overrides)
    tables = DeltaTables(spark, settings)
    write = {"append": append, "count": count}[work]
    # A driver's first commit takes many times what later ones do: it is made elsewhere, before all begin together.
    rehearsal = DeltaTables(spark, settings.model_copy(update={"namespace": f"{namespace}_{name}"}))
    rehearsal.create(NAME)
    append(rehearsal, name, 0)
    write_on_demand(Path(journal), lambda number: write(tables, name, number))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
