"""Running SQL of the common dialect, and Spark's own, over Spark's frames."""

from collections.abc import Mapping
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from lakehouse.semantics.dialects import for_spark
from lakehouse.semantics.metrics import placeholder, refresh_sql

FIRST_OF_EACH: Final = """
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY user_id, event_id, event_time ORDER BY partition, offset) AS copy
    FROM {events}
)
WHERE copy = 1
"""

ENRICHED: Final = """
SELECT e.*, p.category, p.brand, p.price_cents, p.valid_from AS product_valid_from
FROM {events} e
LEFT JOIN {versions} p
    ON e.product_id = p.product_id
    AND e.event_time >= p.valid_from AND (p.valid_to IS NULL OR e.event_time < p.valid_to)
"""


def refreshed(spark: SparkSession, name: str, sources: Mapping[str, DataFrame]) -> DataFrame:
    """The rows of the table `name`, less `changed_by`, from rows of its `sources`, by its `refresh.sql`."""
    return run_sql(spark, refresh_sql(name), **{placeholder(source): rows for source, rows in sources.items()})


def run_sql(spark: SparkSession, query: str, **named: DataFrame | Column) -> DataFrame:
    """`query` over frames and columns, their names in braces; macros are written out."""
    # PySpark gives each frame a temporary view and drops it afterwards, which un-caches the frame if it was cached.
    # A projection of it is another plan to be dropped, and is read from the cached rows all the same.
    apart = {name: value.select("*") if isinstance(value, DataFrame) else value for name, value in named.items()}
    return spark.sql(for_spark(query), args=None, **apart)


def bound(offsets: Mapping[int, int]) -> Column:
    """By a row's `partition`, the offset that is listed for it; -1 where there is none."""
    cases = " ".join(f"WHEN {partition} THEN {offset}L" for partition, offset in sorted(offsets.items()))
    return sf.expr(f"CASE partition {cases} ELSE -1L END" if cases else "-1L")
