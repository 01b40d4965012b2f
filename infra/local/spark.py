"""A standalone cluster of Spark on the loopback interface, for a follower that has outgrown one process."""

import os
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.local import probes
from infra.local.credentials import write_private
from infra.local.java import java
from infra.local.service import Service
from lakehouse.runtime.spark_cluster import configuration_directory, distribution
from lakehouse.settings import ROOT, Settings

_DAEMON_MB: Final = 192
"""Heap of a master or a worker, which only start and watch executors."""
_EXECUTOR_OVERHEAD_MB: Final = 512
"""Of an executor beside its heap: its JVM, and the Python that writes files."""

_OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.net", "java.nio", "java.util", "sun.nio.ch", "sun.security.action")
)


def spark(settings: Settings) -> tuple[Service, ...]:
    """A master and `spark_workers` workers of one core each; nothing where there are to be none."""
    if not settings.spark_workers:
        return ()
    host, address = settings.host, (settings.host, settings.spark_master_ui_port)

    def told() -> Any:
        return probes.http_json(*address, "/json/") or {}

    master = _daemon(
        settings,
        "spark-master",
        ("master.Master", "--port", str(settings.spark_master_port), "--webui-port", str(address[1])),
    )
    workers = (
        _daemon(
            settings,
            f"spark-worker-{number}",
            (
                "worker.Worker",
                *("--cores", "1", "--memory", settings.spark_executor_memory, "--webui-port", "0"),
                *("--work-dir", str(_work(settings, number))),
                f"spark://{host}:{settings.spark_master_port}",
            ),
        )
        for number in range(1, settings.spark_workers + 1)
    )
    return (
        Service(
            **master,
            ports={"spark_master_port": settings.spark_master_port, "spark_master_ui_port": address[1]},
            ready=lambda: "aliveworkers" in told(),
            memory_mb=_DAEMON_MB + 128,
            prepare=partial(_prepare, settings),
        ),
        *(
            Service(
                **worker,
                depends=("spark-master", "minio"),
                ready=lambda: told().get("aliveworkers", 0) == settings.spark_workers,
                memory_mb=_DAEMON_MB + 128 + _EXECUTOR_OVERHEAD_MB + int(settings.spark_executor_memory[:-1]),
            )
            for worker in workers
        ),
    )


def _daemon(settings: Settings, name: str, words: tuple[str, ...]) -> dict[str, Any]:
    home, conf = distribution(), configuration_directory(settings)
    main, *arguments = words
    return {
        "name": name,
        "profile": "spark",
        "command": (
            java(settings),
            f"-Xmx{_DAEMON_MB}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *_OPENED,
            *("-cp", f"{conf}:{home}/jars/*"),
            f"org.apache.spark.deploy.{main}",
            *("--host", settings.host, *arguments),
        ),
        # Executors inherit it: MinIO's key is in no configuration, which Spark shows.
        "environment": settings.for_jobs.s3_credentials()
        | {
            "SPARK_HOME": str(home),
            "SPARK_CONF_DIR": str(conf),
            "SPARK_LOCAL_IP": settings.host,
            "SPARK_SCALA_VERSION": "2.13",  # else a worker looks for a build of Spark's source, and fails
            "PYTHONPATH": str(ROOT),
        },
    }


def _work(settings: Settings, number: int) -> Path:
    return settings.home.absolute() / "data" / "spark" / f"worker-{number}"


def _prepare(settings: Settings) -> None:
    """What daemons and drivers have in common; it holds the secret by which they know each other."""
    directory = configuration_directory(settings)
    directory.mkdir(parents=True, exist_ok=True)
    options = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": settings.spark_secret.get_secret_value(),
        "spark.network.crypto.enabled": "true",
        "spark.master.rest.enabled": "false",
        "spark.ui.killEnabled": "false",
        "spark.worker.cleanup.enabled": "true",
    }
    lines = (f"{name} {value}{os.linesep}" for name, value in options.items())
    write_private(directory / "spark-defaults.conf", "".join(lines))
