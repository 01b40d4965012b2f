"""Table contracts as Spark schemas. Imports pyspark: for code that runs in a Spark driver."""

from typing import Final

from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from lakehouse.contracts.columns import TableContract, Type

_TYPES: Final[dict[Type, DataType]] = {
    Type.STRING: StringType(),
    Type.INTEGER: IntegerType(),
    Type.LONG: LongType(),
    Type.DOUBLE: DoubleType(),
    Type.BOOLEAN: BooleanType(),
    Type.BINARY: BinaryType(),
    Type.DATE: DateType(),
    Type.TIMESTAMP: TimestampType(),
    Type.FINGERPRINT: DecimalType(38, 0),
}


def schema(contract: TableContract) -> StructType:
    """The columns of `contract`, in its order, with its nullability."""
    return StructType([StructField(c.name, _TYPES[c.type], c.nullable) for c in contract.columns])
