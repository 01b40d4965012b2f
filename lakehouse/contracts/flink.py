"""Table contracts as Flink SQL."""

from typing import Final

from lakehouse.contracts.tables import TableContract, Type

SQL_TYPES: Final[dict[Type, str]] = {
    Type.STRING: "STRING",
    Type.INTEGER: "INT",
    Type.LONG: "BIGINT",
    Type.DOUBLE: "DOUBLE",
    Type.BOOLEAN: "BOOLEAN",
    Type.BINARY: "BYTES",
    Type.DATE: "DATE",
    Type.TIMESTAMP: "TIMESTAMP_LTZ(6)",
    Type.FINGERPRINT: "DECIMAL(38, 0)",
}

_DELTA_SINK: Final = """\
CREATE TEMPORARY TABLE {name} (
  {columns}
) WITH (
  'connector' = 'delta',
  'table_path' = '{path}',
  'uid' = '{name}',
  'partitions' = '{partitions}'
)"""


def delta_sink(contract: TableContract, path: str) -> str:
    """The statement that makes the Delta table at `path` one to insert into, under `sink_name`.

    The sink creates the table when it is not there. Its uid is its name: a restored job finds the sink's state by it.
    """
    columns = [f"`{c.name}` {SQL_TYPES[c.type]}{'' if c.nullable else ' NOT NULL'}" for c in contract.columns]
    return _DELTA_SINK.format(
        name=sink_name(contract),
        columns=",\n  ".join(columns),
        path=path,
        partitions=",".join(contract.partition_by),
    )


def sink_name(contract: TableContract) -> str:
    """What Flink SQL calls the table: ``layer_name``."""
    return contract.name.replace(".", "_")
