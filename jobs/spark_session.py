"""The one way to start Spark here: streams and batch jobs share its Delta profile and its limits."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pyspark.sql import SparkSession

from lakehouse.settings import Settings

LOG_CONFIG: Final = Path(__file__).with_name("log4j2.properties")

_DELTA_PROFILE: Final = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # INT96, the default, turns far dates into other years in readers outside Spark.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    # A refresh that finds nothing to change says so by an empty commit, which names the silver it has read.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
}

_SMALL_MACHINE: Final = {
    "spark.sql.shuffle.partitions": "2",
    # A micro-batch has more generated classes than the default of 100: each would be compiled again in every batch.
    "spark.sql.codegen.cache.maxEntries": "2000",
    # Re-planning each of a micro-batch's many small jobs costs more than it saves.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.autoBroadcastJoinThreshold": "32m",
    "spark.ui.showConsoleProgress": "false",
    # Every execution's plan is written out for the UI: a fifth of the driver's work unless kept short.
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.maxPlanStringLength": "4096",
    "spark.sql.debug.maxToStringFields": "8",
    "spark.ui.retainedJobs": "100",
    "spark.ui.retainedStages": "100",
    "spark.ui.retainedTasks": "500",
    "spark.sql.ui.retainedExecutions": "30",
    "spark.sql.streaming.numRecentProgressUpdates": "5",
    # Each look at an idle topic asks Kafka for its ends: by default a hundred times a second.
    "spark.sql.streaming.pollingDelay": "500ms",
}

_INTERPRETED: Final = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}

_S3A: Final = {
    # From the environment: configuration shows in the UI, in logs and on the command line.
    "spark.hadoop.fs.s3a.aws.credentials.provider": (
        "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"
    ),
    # Delta's own lets several writers win one version, each believing that it alone did.
    "spark.delta.logStore.s3a.impl": "io.kappalakehouse.delta.ConditionalPutLogStore",
}


def class_archive(settings: Settings) -> Path:
    """Where `jobs.spark_classes` keeps the classes that a driver loads."""
    return settings.cache / "jars" / "spark-classes.jsa"


class MissingJarsError(RuntimeError):
    """The jars that Spark needs are not in the cache."""


def class_path(settings: Settings) -> str:
    """The connectors' jar and Spark's, for drivers and executors. Raises MissingJarsError: they were not installed."""
    spark = settings.cache / "jars" / "spark"
    connectors = settings.cache / "jars" / "connectors" / "kappa-lakehouse-connectors.jar"
    if not spark.is_dir() or not connectors.is_file():
        raise MissingJarsError(
            f"no Spark jars under {settings.cache / 'jars'}; fetch and build them with: make install"
        )
    return f"{connectors}:{spark}/*"


def build_session(
    settings: Settings, app_name: str, *, ui: bool = False, overrides: Mapping[str, str] | None = None
) -> SparkSession:
    """Starts Spark in this process (two threads, UTC) with the SQL functions of the connectors registered.

    `ui`: serve Spark's pages at ``settings.spark_ui_port``; one session per installation may. `overrides`: options of
    Spark that are to differ from ours.

    Raises:
        MissingJarsError: jars were not installed; the message says how to.
    """
    jars = class_path(settings)
    scratch = settings.home / "data" / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    # The JVM inherits these; Python workers must be this very Python.
    os.environ |= settings.s3_credentials() | {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": settings.host,
        "SPARK_LOCAL_DIRS": str(scratch),
        # PySpark turns timestamps into naive datetimes of the process's time zone, and back.
        "TZ": "UTC",
    }
    time.tzset()
    archive = class_archive(settings)
    # One of other jars is left aside without a word.
    archived = f"-XX:SharedArchiveFile={archive} -Xlog:cds=off -Xlog:cds+dynamic=off " if archive.exists() else ""
    options = (
        _DELTA_PROFILE
        | _SMALL_MACHINE
        | _S3A
        | ({} if settings.spark_codegen else _INTERPRETED)
        | {f"spark.hadoop.{option}": value for option, value in settings.s3a_options().items()}
        | {
            "spark.driver.memory": settings.spark_driver_memory,
            "spark.driver.extraClassPath": jars,
            "spark.driver.extraJavaOptions": (
                # The quick compiler alone reserves a fifth of this, and Spark's generated code fills it.
                f"-XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m {archived}{settings.spark_jvm_options}"
                f" -Duser.timezone=UTC -Dlog4j2.configurationFile={LOG_CONFIG.as_uri()}"
            ),
            "spark.driver.host": settings.host,
            "spark.driver.bindAddress": settings.host,
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            "spark.sql.session.timeZone": "UTC",
            "spark.ui.enabled": str(ui).lower(),
            "spark.ui.port": str(settings.spark_ui_port),
        }
        | dict(overrides or {})
    )
    builder = SparkSession.builder.master(f"local[{settings.parallelism}]").appName(app_name)
    for key, value in options.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    jvm: Any = session._jvm
    jvm.io.kappalakehouse.spark.Functions.register(session._jsparkSession)
    return session
