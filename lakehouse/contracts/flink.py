"""Table contracts as Flink SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
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
  'source.topics' = '{topics}',
  'source.topic_prefix' = '{prefix}'"""
_READER: Final = """,
  'source.reader' = '{reader}'"""


@dataclass(frozen=True, slots=True)
class Source:
    """The Kafka topics whose records a sink's rows are made of, and the ids that they have; `prefix`: the namespace's.

    `reader` names the job of which the commits say how far it has read: for rows in the order of their records.
    """

    bootstrap: str
    topics: Mapping[str, str]
    prefix: str
    reader: str | None = None

    @property
    def options(self) -> str:
        topics = ",".join(f"{name}:{topic_id}" for name, topic_id in self.topics.items())
        said = _SOURCE.format(bootstrap=self.bootstrap, topics=topics, prefix=self.prefix)
        return said + (_READER.format(reader=self.reader) if self.reader else "")


def delta_sink(contract: TableContract, path: str, source: Source | None = None) -> str:
    """The statement that makes the Delta table at `path` one to insert into, under `sink_name`.

    The sink creates the table when it is not there. Its uid is its name: a restored job finds the sink's state by it.
    It commits nothing once a topic of `source` was made anew: the job's offsets are then those of another log.
    """
    columns = [f"`{c.name}` {SQL_TYPES[c.type]}{'' if c.nullable else ' NOT NULL'}" for c in contract.columns]
    return _DELTA_SINK.format(
        name=sink_name(contract),
        columns=",\n  ".join(columns),
        path=path,
        partitions=",".join(contract.partition_by),
        source="" if source is None else source.options,
    )


def sink_name(contract: TableContract) -> str:
    """What Flink SQL calls the table: ``layer_name``."""
    return contract.name.replace(".", "_")
