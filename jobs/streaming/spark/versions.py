"""`silver.products` and `silver.profiles`: one row per version (SCD2)."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from jobs.spark_sql import refreshed
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.micro_batch import MicroBatch
from lakehouse.contracts.events import EventContract
from lakehouse.contracts.tables import table
from lakehouse.delta.notes import Caused


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
        rows = refreshed(tables.spark, silver, {bronze: changes})
        kept = tables.read(silver, tables.version(silver)).join(sf.broadcast(keys), contract.key, "left_anti")
        columns = table(silver).column_names
        content = kept.select(*columns).union(rows.select(*columns)).coalesce(1)
        return tables.replace(silver, content, (), note.reading({bronze: source}))
    finally:
        keys.unpersist()
