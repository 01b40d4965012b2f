"""How a stored table's columns may differ from its contract's, and what that means for who reads and writes it."""

import pyarrow as pa
from deltalake import DeltaTable, Field

from lakehouse.contracts.columns import Column, TableContract
from lakehouse.delta.errors import SchemaMismatchError


def missing_columns(opened: DeltaTable, contract: TableContract) -> list[Column]:
    """The nullable columns that the contract has gained since the table, at this version, was made.

    Columns that the table has beyond the contract are a newer contract's: nullable, and left alone.

    Raises:
        SchemaMismatchError: any other difference.
    """
    stored = {field.name: field for field in opened.schema().fields}
    declared = {column.name for column in contract.columns}
    differences = [
        difference
        for column in contract.columns
        if (difference := _difference(column, stored.get(column.name))) is not None
    ]
    differences += [
        f"{field.name} is in the table alone and forbids nulls"
        for field in stored.values()
        if field.name not in declared and not field.nullable
    ]
    if differences:
        raise SchemaMismatchError(contract.name, opened.table_uri, differences)
    return [column for column in contract.columns if column.name not in stored]


def outgrown_columns(opened: DeltaTable, contract: TableContract) -> list[Column]:
    """The nullable columns that the table lacks, and those in which it forbids the nulls that the contract has come to
    allow, for who is to write to it.

    Raises:
        SchemaMismatchError: as `missing_columns`; or it lies in other partitions, which is no matter to readers.
    """
    partitions = tuple(opened.metadata().partition_columns)
    if partitions != contract.partition_by:
        difference = f"it is partitioned by {_listed(partitions)}, declared is {_listed(contract.partition_by)}"
        raise SchemaMismatchError(contract.name, opened.table_uri, [difference])
    strict = {field.name for field in opened.schema().fields if not field.nullable}
    allowed = [column for column in contract.columns if column.nullable and column.name in strict]
    return [*missing_columns(opened, contract), *allowed]


def padded(rows: pa.Table, opened: DeltaTable) -> pa.Table:
    """`rows` with nulls in the columns that the table has beyond them: a newer contract's, see `missing_columns`."""
    for field in pa.schema(opened.schema()):
        if field.name not in rows.column_names and field.nullable:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def _difference(column: Column, stored: Field | None) -> str | None:
    if stored is None:
        return None if column.nullable else f"{column.name} is missing and may not be null"
    kind = getattr(stored.type, "type", str(stored.type))
    if kind != column.type:
        return f"{column.name} is {kind}, declared is {column.type}"
    return None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nothing"
