"""Table contracts as Flink SQL."""

from dataclasses import asdict, dataclass
from typing import Final

from lakehouse.contracts.columns import TableContract, Type

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
  'partitions' = '{partitions}'{source}
)"""
_SOURCE: Final = """,
  'source.bootstrap_servers' = '{bootstrap}',
  'source.topic' = '{topic}',
  'source.topic_id' = '{topic_id}'"""


@dataclass(frozen=True, slots=True)
class Source:
    """The Kafka topic (its name with namespace) whose records a sink's rows are made of, and the id that it has."""

    bootstrap: str
    topic: str
    topic_id: str


def delta_sink(contract: TableContract, path: str, source: Source | None = None) -> str:
    """The statement that makes the Delta table at `path` one to insert into, under `sink_name`.

    The sink creates the table when it is not there. Its uid is its name: a restored job finds the sink's state by it.
    It commits nothing once the topic of `source` was made anew: the job's offsets are then those of another log.
    """
    columns = [f"`{c.name}` {SQL_TYPES[c.type]}{'' if c.nullable else ' NOT NULL'}" for c in contract.columns]
    return _DELTA_SINK.format(
        name=sink_name(contract),
        columns=",\n  ".join(columns),
        path=path,
        partitions=",".join(contract.partition_by),
        source="" if source is None else _SOURCE.format(**asdict(source)),
    )


def sink_name(contract: TableContract) -> str:
    """What Flink SQL calls the table: ``layer_name``."""
    return contract.name.replace(".", "_")
