"""Running the SQL of Spark's metrics over frames."""

from collections.abc import Mapping
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from lakehouse.checked_sums import written_out

_FINGERPRINT: Final = """CAST(
    CAST(sum(shiftright(record_hash, 30)) AS DECIMAL(38, 0)) * 1073741824 + sum(record_hash & 1073741823)
    AS DECIMAL(38, 0))"""
"""The sum of 60-bit record hashes. Two sums of 30-bit halves don't overflow and are a multiple faster than a sum of
decimals."""


def run_sql(spark: SparkSession, query: str, **named: DataFrame | Column) -> DataFrame:
    """`query` over frames and columns, their names in braces; ``fingerprint(record_hash)`` and ``checked_sum(column)``
    are written out."""
    # PySpark gives each frame a temporary view and drops it afterwards, which un-caches the frame if it was cached.
    # A projection of it is another plan to be dropped, and is read from the cached rows all the same.
    apart = {name: value.select("*") if isinstance(value, DataFrame) else value for name, value in named.items()}
    plain = written_out(query.replace("fingerprint(record_hash)", _FINGERPRINT))
    return spark.sql(plain, args=None, **apart)


def bound(offsets: Mapping[int, int]) -> Column:
    """By a row's `partition`, the offset that is listed for it; -1 where there is none."""
    cases = " ".join(f"WHEN {partition} THEN {offset}L" for partition, offset in sorted(offsets.items()))
    return sf.expr(f"CASE partition {cases} ELSE -1L END" if cases else "-1L")
