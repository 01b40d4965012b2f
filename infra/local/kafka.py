"""Kafka as one KRaft process, broker and controller."""

import shlex
import subprocess
import uuid
from functools import partial
from pathlib import Path

from infra.local import probes
from infra.local.java import java
from infra.local.service import Service, StackError
from lakehouse.runtime.supervisor import run_directory
from lakehouse.settings import Settings

# Offsets of groups are kept for ten years: after the default 7 days, a job that was stopped for longer, or that reads
# seldom, would not find where it was, and nobody could tell what is drained.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
offsets.retention.minutes=5256000
num.partitions=6
offsets.topic.num.partitions=6
transaction.state.log.num.partitions=6
log.message.timestamp.type=LogAppendTime
auto.create.topics.enable=false
"""

# A client goes on where the broker says that it is: those that come through the proxy must be sent back to it. Of a
# property said twice the last counts.
_BEHIND_THE_PROXY = """\
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port},PROXIED://{host}:{proxied_port}
advertised.listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{proxy_port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
"""


def kafka(settings: Settings) -> Service:
    properties = run_directory(settings) / "kafka.properties"
    data = settings.home.absolute() / "data" / "kafka"
    classpath = str(settings.cache.absolute() / "jars" / "kafka" / "*")
    return Service(
        name="kafka",
        profile="core",
        command=(
            java(settings),
            f"-Xms{settings.kafka_heap}",
            f"-Xmx{settings.kafka_heap}",
            "-XX:+UseSerialGC",
            *shlex.split(settings.kafka_jvm_options),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            classpath,
            "kafka.Kafka",
            str(properties),
        ),
        ready=partial(probes.tcp, settings.host, settings.kafka_port),
        memory_mb=900,
        ports={"kafka_port": settings.kafka_port, "kafka_controller_port": settings.kafka_controller_port},
        prepare=partial(_prepare, settings, properties, data, classpath),
        stop_seconds=20,
    )


def _prepare(settings: Settings, properties: Path, data: Path, classpath: str) -> None:
    template = _PROPERTIES + _BEHIND_THE_PROXY if settings.fault_proxy else _PROPERTIES
    text = template.format(
        host=settings.host,
        port=settings.kafka_port,
        controller_port=settings.kafka_controller_port,
        proxied_port=settings.kafka_proxied_port,
        proxy_port=settings.kafka_proxy_port,
        data=data,
    )
    properties.write_text(text, encoding="utf-8")
    if (data / "meta.properties").exists():
        return
    cluster = str(uuid.uuid4())
    format_storage = (java(settings), "-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath)
    done = subprocess.run(
        (*format_storage, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"Kafka's storage in {data} could not be formatted: {done.stderr.strip()[-500:]}")
