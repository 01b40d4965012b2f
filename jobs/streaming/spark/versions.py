"""`silver.products` and `silver.profiles`: one row per version (SCD2)."""

from typing import Final

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from jobs.spark_sql import run_sql
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.micro_batch import MicroBatch
from lakehouse.contracts.events import EventContract
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Caused

ROWS: Final = """
WITH once AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY {key}, event_id, event_time ORDER BY partition, offset) AS copy
        FROM {changes}
    )
    WHERE copy = 1
),
effective AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY {key}, valid_from ORDER BY partition DESC, offset DESC) AS rival
        FROM once
    )
    WHERE rival = 1
)
SELECT *, lead(valid_from) OVER (PARTITION BY {key} ORDER BY valid_from) AS valid_to FROM effective
"""
"""A repeated change counts once, where it came first; of two versions with one `valid_from` the later one wins."""


def refresh_versions(tables: DeltaTables, batch: MicroBatch, contract: EventContract, note: Caused) -> int | None:
    """Replaces all versions of the keys in the batch, from all that bronze knows of them.

    Silver alone would not do: which of two rival versions came first is settled by records that it no longer
    holds.
    """
    if not batch.counts[contract.topic]:
        return None
    return replace_versions(tables, contract, batch.events(contract), note)


def replace_versions(tables: DeltaTables, contract: EventContract, changed: DataFrame, note: Caused) -> int:
    """The same for the keys in `changed`; `note`: what the commit says of itself, beside the version of bronze."""
    bronze, silver = f"bronze.{contract.table}", f"silver.{contract.table}"
    source = tables.version(bronze)
    keys = changed.select(contract.key).distinct().persist()
    try:
        changes = tables.read(bronze, source).join(sf.broadcast(keys), contract.key, "left_semi")
        rows = run_sql(tables.spark, ROWS, changes=changes, key=sf.col(contract.key))
        kept = tables.read(silver, tables.version(silver)).join(sf.broadcast(keys), contract.key, "left_anti")
        columns = table(silver).column_names
        content = kept.select(*columns).union(rows.select(*columns)).coalesce(1)
        return tables.replace(silver, content, (), note.reading({bronze: source}))
    finally:
        keys.unpersist()
