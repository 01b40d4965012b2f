"""SQL on the Flink session cluster, submitted from a process of its own."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from jobs.streaming.flink.start import Start
from lakehouse.contracts import flink
from lakehouse.contracts.columns import TableContract
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.flink import Source
from lakehouse.kafka.groups import begin_group
from lakehouse.runtime import flink_home
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyflink.table import StatementSet, StreamTableEnvironment

_KAFKA_SOURCE: Final = """
CREATE TEMPORARY TABLE {name} (
  `key` BYTES,
  `value` BYTES,
  `partition` INT NOT NULL METADATA VIRTUAL,
  `offset` BIGINT NOT NULL METADATA VIRTUAL,
  topic STRING NOT NULL METADATA VIRTUAL,
  arrival TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL
) WITH (
  'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{bootstrap}',
  'properties.group.id' = '{group}',
  'properties.isolation.level' = 'read_committed',
  {startup},
  'key.format' = 'raw',
  'key.fields' = 'key',
  'value.format' = 'raw',
  'value.fields-include' = 'EXCEPT_KEY'
)
"""
_KAFKA_SINK: Final = """
CREATE TEMPORARY TABLE {name} (
  row_key STRING,
  {columns}
) WITH (
  'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{bootstrap}',
  'properties.compression.type' = 'lz4',
  'properties.linger.ms' = '50',
  'properties.batch.size' = '262144',
  'sink.delivery-guarantee' = 'at-least-once',
  'key.format' = 'raw',
  'key.fields' = 'row_key',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY'
)
"""


# The connector resets a position that the log doesn't have to the earliest record, without a word, unless it is told to
# start at the group's offsets: then it fails.
_AT_THE_GROUPS_OFFSETS: Final = """'scan.startup.mode' = 'group-offsets', 'properties.auto.offset.reset' = 'none'"""
_PAST_WHAT_IS_LOST: Final = "'scan.startup.mode' = 'earliest-offset'"


def kafka_source(settings: Settings, name: str, topics: Sequence[str], job: str, start: Start) -> str:
    """DDL of the table `name`: the raw records of `topics`. New state starts at the beginning, which its group is told,
    unless it is positioned already; restored state says where."""
    for topic in topics if start.restore is None and not start.positioned else ():
        begin_group(settings, job, topic)
    return _KAFKA_SOURCE.format(
        name=name,
        topic=";".join(map(settings.prefixed, topics)),
        bootstrap=settings.kafka_bootstrap,
        group=settings.prefixed(job),
        startup=_PAST_WHAT_IS_LOST if start.past_losses else _AT_THE_GROUPS_OFFSETS,
    )


def delta_sink(
    settings: Settings, contract: TableContract, topics: Iterable[str], start: Start, reader: str | None = None
) -> str:
    """DDL of the table of `contract` as a sink for what is made of the records of `topics`; `reader` as in `Source`."""
    ids = {topic: start.topics[topic] for topic in topics if topic in start.topics}
    source = Source(settings.kafka_bootstrap, ids, settings.prefixed(""), reader) if ids else None
    return flink.delta_sink(contract, settings.table_path(contract.name, "s3a"), source)


def kafka_sink(settings: Settings, name: str, topic: str, columns: str) -> str:
    """DDL of the table `name`: its `row_key` is the record's key, the other `columns` are its JSON."""
    return _KAFKA_SINK.format(
        name=name, topic=settings.prefixed(topic), bootstrap=settings.kafka_bootstrap, columns=columns
    )


def gateway() -> Any:
    """The JVM that plans this process's job."""
    from pyflink.java_gateway import get_gateway

    return get_gateway().jvm


def table_environment(settings: Settings, job: str, start: Start | None = None) -> "StreamTableEnvironment":
    """Where `job` is written in SQL."""
    # The gateway is a JVM that plans the job; it reads where jars and configuration lie, and who it is, when it starts.
    os.environ.update(flink_home.environment(settings) | settings.s3_credentials())
    os.environ.setdefault("JVM_ARGS", "-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment

    configuration = Configuration()
    for key, value in job_configuration(settings, job, start or Start()).items():
        configuration.set_string(key, value)
    # Outside of `flink run`, PyFlink's own factory always makes a local cluster; the constructor heeds the target.
    environment = StreamExecutionEnvironment(
        gateway().org.apache.flink.streaming.api.environment.StreamExecutionEnvironment(configuration._j_configuration)
    )
    return StreamTableEnvironment.create(environment)


def create_functions(tables: "StreamTableEnvironment", topics: Iterable[str]) -> None:
    """``validate_<table>`` for each of `topics`, and ``record_hash``."""
    functions = gateway().io.kappalakehouse.flink
    for topic in topics:
        name = f"validate_{EVENTS[topic].table}"
        tables._j_tenv.createTemporarySystemFunction(name, functions.ValidateFunction(topic))
    tables._j_tenv.createTemporarySystemFunction("record_hash", functions.RecordHash())


def submit(statements: "StatementSet") -> str:
    """Submit all inserts as one job and return its id; it runs on when this process ends.

    Raises:
        py4j.protocol.Py4JJavaError: the cluster did not take it.
    """
    client: Any = statements.execute().get_job_client()
    return str(client.get_job_id())


def job_configuration(settings: Settings, job: str, start: Start) -> dict[str, str]:
    """What a job's configuration says beside the cluster's."""
    return {
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": settings.host,
        "rest.port": str(settings.flink_port),
        "pipeline.name": settings.prefixed(job),
        "pipeline.object-reuse": "true",
        "parallelism.default": str(settings.parallelism),
        "table.local-time-zone": "UTC",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.dir": start.checkpoints or settings.checkpoint_path(job, "s3"),
        "execution.checkpointing.interval": f"{settings.flink_checkpoint_seconds} s",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    } | ({"execution.state-recovery.path": start.restore} if start.restore else {})
