"""Rows as frames of the tables' contracts."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import polars as pl

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.columns import TableContract, Type

_CHUNK_ROWS: Final = 100_000


def to_frame(contract: TableContract, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of the contract's compared columns; built in chunks, so that memory holds few rows as dicts."""
    columns = [c for c in contract.columns if c.name in contract.compared_columns]
    schema = polars_schema(contract)
    remaining = iter(rows)
    frames = [pl.DataFrame({c.name: pl.Series(c.name, [], schema[c.name]) for c in columns})]
    while chunk := list(islice(remaining, _CHUNK_ROWS)):
        frames.append(
            pl.DataFrame([_series(c.name, [row[c.name] for row in chunk], c.type, schema[c.name]) for c in columns])
        )
    return pl.concat(frames)


def _series(name: str, values: list[Any], kind: Type, dtype: pl.DataType) -> pl.Series:
    if kind is Type.TIMESTAMP:
        # In milliseconds here, in microseconds there: both whole.
        return pl.Series(name, values, pl.Int64).cast(pl.Datetime("ms", "UTC")).cast(dtype)
    if kind is Type.FINGERPRINT:
        return pl.Series(name, values, pl.Int128).cast(dtype)
    return pl.Series(name, values, dtype)
