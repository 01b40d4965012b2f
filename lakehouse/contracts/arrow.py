"""Table contracts as Arrow and Polars schemas. Imports pyarrow and Polars: for code that handles rows."""

from typing import Final

import polars as pl
import pyarrow as pa

from lakehouse.contracts.columns import TableContract, Type

_ARROW: Final[dict[Type, pa.DataType]] = {
    Type.STRING: pa.string(),
    Type.INTEGER: pa.int32(),
    Type.LONG: pa.int64(),
    Type.DOUBLE: pa.float64(),
    Type.BOOLEAN: pa.bool_(),
    Type.BINARY: pa.binary(),
    Type.DATE: pa.date32(),
    # Always with a zone: a column without one would make Delta turn on the table feature timestampNtz.
    Type.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Type.FINGERPRINT: pa.decimal128(38, 0),
}

_POLARS: Final[dict[Type, pl.DataType]] = {
    Type.STRING: pl.String(),
    Type.INTEGER: pl.Int32(),
    Type.LONG: pl.Int64(),
    Type.DOUBLE: pl.Float64(),
    Type.BOOLEAN: pl.Boolean(),
    Type.BINARY: pl.Binary(),
    Type.DATE: pl.Date(),
    Type.TIMESTAMP: pl.Datetime("us", "UTC"),
    Type.FINGERPRINT: pl.Decimal(38, 0),
}


def arrow_schema(contract: TableContract) -> pa.Schema:
    """The columns of `contract`, in its order, with its nullability."""
    return pa.schema([pa.field(c.name, _ARROW[c.type], c.nullable) for c in contract.columns])


def polars_schema(contract: TableContract) -> pl.Schema:
    """The columns of `contract`, in its order. Polars knows no nullability."""
    return pl.Schema({c.name: _POLARS[c.type] for c in contract.columns})
