"""A Flink session cluster: one JobManager and one TaskManager on the loopback interface."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import yaml

from infra.local import probes
from infra.local.credentials import write_private
from infra.local.service import Service, StackError, nothing
from lakehouse.runtime import flink_home
from lakehouse.settings import Settings

SLOTS: Final = 12

_LOG4J: Final = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.hadoop.name = org.apache.hadoop
logger.hadoop.level = WARN
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
"""


def flink(settings: Settings) -> tuple[Service, Service]:
    """JobManager and TaskManager."""
    address = (settings.host, settings.flink_port)
    return (
        _process(
            settings,
            name="flink-jobmanager",
            script="jobmanager.sh",
            ready=lambda: probes.http_json(*address, "/overview") is not None,
            memory_mb=_megabytes(settings.flink_jobmanager_memory),
            ports={
                "flink_port": settings.flink_port,
                "flink_rpc_port": settings.flink_rpc_port,
                "flink_blob_port": settings.flink_blob_port,
            },
            depends=("minio", *(["toxiproxy"] if settings.fault_proxy else [])),
            prepare=partial(_prepare, settings),
        ),
        _process(
            settings,
            name="flink-taskmanager",
            script="taskmanager.sh",
            ready=lambda: ((probes.http_json(*address, "/overview") or {}).get("taskmanagers", 0)) > 0,
            memory_mb=_megabytes(settings.flink_taskmanager_memory),
            ports={
                "flink_taskmanager_rpc_port": settings.flink_taskmanager_rpc_port,
                "flink_taskmanager_data_port": settings.flink_taskmanager_data_port,
            },
            depends=("flink-jobmanager",),
        ),
    )


def _process(
    settings: Settings,
    *,
    name: str,
    script: str,
    ready: Callable[[], bool],
    memory_mb: int,
    ports: dict[str, int],
    depends: tuple[str, ...],
    prepare: Callable[[], None] = nothing,
) -> Service:
    return Service(
        name=name,
        profile="streaming",
        command=(str(flink_home.distribution(settings) / "bin" / script), "start-foreground"),
        environment=flink_home.environment(settings)
        | {
            # By environment, not by configuration: Flink writes its configuration into logs and web pages.
            "AWS_ACCESS_KEY_ID": settings.minio_access_key,
            "AWS_SECRET_ACCESS_KEY": settings.minio_secret_key.get_secret_value(),
        },
        ready=ready,
        memory_mb=memory_mb,
        ports=ports,
        depends=depends,
        prepare=prepare,
    )


def configuration(settings: Settings) -> dict[str, Any]:
    """What ours says beside the configuration that Flink ships."""
    host, data = settings.host, settings.home.absolute() / "data" / "flink"
    return {
        "jobmanager.rpc.address": host,
        "jobmanager.bind-host": host,
        "jobmanager.rpc.port": settings.flink_rpc_port,
        "jobmanager.rpc.bind-port": settings.flink_rpc_port,
        "jobmanager.memory.process.size": settings.flink_jobmanager_memory,
        "blob.server.port": str(settings.flink_blob_port),
        "rest.address": host,
        "rest.bind-address": settings.bind_host,
        "rest.port": settings.flink_port,
        "rest.bind-port": str(settings.flink_port),
        "taskmanager.host": host,
        "taskmanager.bind-host": host,
        "taskmanager.rpc.port": str(settings.flink_taskmanager_rpc_port),
        "taskmanager.data.port": settings.flink_taskmanager_data_port,
        "taskmanager.memory.process.size": settings.flink_taskmanager_memory,
        "taskmanager.numberOfTaskSlots": SLOTS,
        # It waits most of the time: threads that collect and optimise would be most of what it does.
        "env.java.opts.jobmanager": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        "env.java.opts.taskmanager": settings.flink_jvm_options,
        "parallelism.default": settings.parallelism,
        "io.tmp.dirs": str(data / "tmp"),
        # While a whole stack starts on two cores, ten seconds are soon over; and the process would end.
        "pekko.startup-timeout": "2 min",
        "pekko.ask.timeout": "60 s",
        "heartbeat.interval": "3 s",
        "heartbeat.timeout": "30 s",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.interval": "10 s",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.incremental": True,
        "execution.checkpointing.num-retained": 2,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # The first checkpoint of a fresh cluster may fail; one that fails again and again still ends the job.
        "execution.checkpointing.tolerable-failed-checkpoints": 3,
        "execution.checkpointing.dir": settings.checkpoint_path("flink"),
        "execution.checkpointing.savepoint-dir": settings.checkpoint_path("flink_savepoints"),
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        "s3.endpoint": settings.for_jobs.s3_endpoint,
        "s3.path.style.access": True,
        "s3.endpoint.region": "us-east-1",
        "python.executable": str(flink_home.python(settings)),
        "python.client.executable": str(flink_home.python(settings)),
    }


def hadoop_options(settings: Settings) -> dict[str, str]:
    """Hadoop's configuration, for the delta sink; Flink's own checkpoints go through its plugin, by ``config.yaml``."""
    return settings.for_jobs.s3a_options() | {
        "fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
        ),
        # Blocks of 64 MB wait there to be sent, one per open file: more than a TaskManager's direct memory.
        "fs.s3a.fast.upload.buffer": "disk",
        "hadoop.tmp.dir": str(settings.home.absolute() / "data" / "flink" / "tmp"),
    }


def _core_site(options: dict[str, str]) -> str:
    root = ElementTree.Element("configuration")
    for name, value in options.items():
        entry = ElementTree.SubElement(root, "property")
        ElementTree.SubElement(entry, "name").text = name
        ElementTree.SubElement(entry, "value").text = value
    return ElementTree.tostring(root, encoding="unicode")


def _prepare(settings: Settings) -> None:
    shipped = flink_home.distribution(settings)
    directory = flink_home.configuration_directory(settings)
    (directory.parent / "tmp").mkdir(parents=True, exist_ok=True)
    merged = _flat(yaml.safe_load((shipped / "conf" / "config.yaml").read_text(encoding="utf-8")))
    directory.mkdir(parents=True, exist_ok=True)
    write_private(directory / "config.yaml", yaml.safe_dump(merged | configuration(settings)))
    write_private(directory / "log4j-console.properties", _LOG4J)
    for name in ("log4j.properties", "log4j-cli.properties"):
        write_private(directory / name, _LOG4J.replace("rootLogger.level = INFO", "rootLogger.level = WARN"))
    write_private(directory / "core-site.xml", _core_site(hadoop_options(settings)))
    jars = settings.cache.absolute() / "jars"
    _link(
        directory / "lib",
        [
            *(shipped / "lib").glob("*.jar"),
            *_jars(jars / "flink-lib"),
            *_jars(jars / "flink-delta"),
            *(jars / "connectors").glob("*.jar"),
        ],
    )
    _link(directory / "plugins" / "s3", _jars(jars / "flink-s3"))


def _jars(directory: Path) -> list[Path]:
    found = sorted(directory.glob("*.jar"))
    if not found:
        raise StackError(f"There is no jar in {directory}: run `make install`.")
    return found


def _link(directory: Path, jars: list[Path]) -> None:
    """Make `directory` hold links to `jars` and nothing else."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for jar in jars:
        (directory / jar.name).symlink_to(jar)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots, the form in which ours override the shipped ones."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _megabytes(size: str) -> int:
    if not size.endswith("m"):
        raise StackError(f"Memory sizes are written in megabytes, like 1728m, not {size!r}.")
    return int(size[:-1])
