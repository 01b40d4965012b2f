"""Delta tables by contract name through delta-rs, without a JVM: open, read, create, append, replace days."""

from lakehouse.delta.errors import (
    BucketMissingError,
    CommitRefusedError,
    NoDeltaTableError,
    OvertakenError,
    ProtocolTooNewError,
    SchemaMismatchError,
    StoreDeniedError,
    StoreFailingError,
    TableError,
    TableMissingError,
    VersionMissingError,
)
from lakehouse.delta.read import scan, scan_opened
from lakehouse.delta.tables import create_table, open_table, table_exists
from lakehouse.delta.write import Once, append, append_ops, replace_all, replace_days

__all__ = [
    "BucketMissingError",
    "CommitRefusedError",
    "NoDeltaTableError",
    "Once",
    "OvertakenError",
    "ProtocolTooNewError",
    "SchemaMismatchError",
    "StoreDeniedError",
    "StoreFailingError",
    "TableError",
    "TableMissingError",
    "VersionMissingError",
    "append",
    "append_ops",
    "create_table",
    "open_table",
    "replace_all",
    "replace_days",
    "scan",
    "scan_opened",
    "table_exists",
]
