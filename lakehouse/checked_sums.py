"""Sums of money in the engines of Python: exact, or null where one doesn't fit 64 bits or a part of it is null.

Such a row stays, with its counts and its fingerprint, and stands aside with its one sum: nothing wraps, no engine
stops, and no neighbour is missing (decision 0175). Which columns these are is said by `Column.money_sum`.
"""

import re
from typing import Final

import polars as pl

_CALL: Final = re.compile(r"\bchecked_sum\(([\w.]+)\)")


def checked_sum(column: str) -> pl.Expr:
    """The sum of an integer column, in Polars."""
    return pl.when(pl.col(column).null_count() == 0).then(narrowed(pl.col(column).cast(pl.Int128).sum())).alias(column)


def narrowed(total: pl.Expr) -> pl.Expr:
    """A sum of 128 bits as 64 bits; null where it doesn't fit."""
    return total.cast(pl.Int64, strict=False)


def written_out(query: str) -> str:
    """`query` for Spark or DataFusion, with each ``checked_sum(column)`` of a bigint column in plain SQL.

    In two halves, each of which has room for 2^31 rows: a sum of decimals takes Spark a multiple of the time.
    """
    return _CALL.sub(
        lambda call: (
            f"CASE WHEN count({call[1]}) = count(*) THEN "
            + narrowed_sql(f"CAST(sum({call[1]} >> 32) AS DECIMAL(20, 0)) * 4294967296 + sum({call[1]} & 4294967295)")
            + " END"
        ),
        query,
    )


def narrowed_sql(total: str) -> str:
    """A sum in decimals as 64 bits, in the SQL of Spark and DataFusion; null where it doesn't fit."""
    return f"CASE WHEN {total} BETWEEN -9223372036854775808 AND 9223372036854775807 THEN CAST({total} AS BIGINT) END"
