"""Keeps Spark's classes as the JVM holds them: ``python -m jobs.spark_classes``, which the installation runs.

A driver loads some ten thousand classes, in a quarter of the CPU that its first minute takes. Those that a session
like ours loads for work like ours are archived as its JVM ends, and mapped into each later one: Java's class data
sharing (https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html). An archive of other jars or of another
JDK is not used, and nothing is different without one.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pydantic import SecretStr
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from jobs.spark_session import build_session, class_archive
from lakehouse.settings import Settings, load_settings


def main() -> None:
    configured = load_settings()
    archive = class_archive(configured)
    archive.unlink(missing_ok=True)
    new = archive.with_suffix(".new")
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-classes-"))
    # Nothing answers there: a store and a broker are asked once, for the classes that asking takes.
    settings = configured.model_copy(
        update={
            "home": folder,
            "spark_jvm_options": f"{configured.spark_jvm_options} -XX:ArchiveClassesAtExit={new}",
            "kafka_port": 1,
            "minio_port": 1,
            "minio_secret_key": SecretStr("none"),
        }
    )
    spark = build_session(settings, "classes", overrides={"spark.hadoop.fs.s3a.attempts.maximum": "1"})
    try:
        _write_and_read(spark, folder)
        _ask(spark, settings)
    finally:
        process: Any = spark.sparkContext._gateway.proc  # type: ignore[union-attr]
        spark.stop()
        process.stdin.close()  # which ends the JVM
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    new.replace(archive)


def _write_and_read(spark: SparkSession, folder: Path) -> None:
    """What a micro-batch does: append, merge, replace days, join, window; by a stream."""
    source, target = str(folder / "source"), str(folder / "target")
    rows = spark.range(100).selectExpr("id", "id % 7 AS day", "uuid() AS text", "current_timestamp() AS at")
    for name in (source, target):
        rows.write.format("delta").partitionBy("day").save(name)

    def batch(frame: DataFrame, _number: int) -> None:
        frame.persist().createOrReplaceTempView("new")
        session = frame.sparkSession
        session.sql(
            f"MERGE INTO delta.`{target}` t USING new n ON t.id = n.id AND t.day = n.day "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
        session.read.format("delta").load(target).createOrReplaceTempView("held")
        counted = session.sql(
            "SELECT id, day, text, at FROM (SELECT n.*, row_number() OVER (PARTITION BY n.day ORDER BY h.at) AS r,"
            " count(*) OVER (PARTITION BY n.day) AS c FROM new n LEFT JOIN held h USING (id)) WHERE r <= c"
        )
        days = "day IN (1, 2)"
        counted.where(days).write.format("delta").mode("overwrite").option("replaceWhere", days).save(target)
        session.sql("SELECT day, sum(id), collect_list(struct(id, text)), max(at) FROM new GROUP BY day").collect()
        frame.unpersist()

    stream = spark.readStream.format("delta").load(source).writeStream.trigger(availableNow=True)
    stream.option("checkpointLocation", str(folder / "checkpoint")).foreachBatch(batch).start().awaitTermination()


def _ask(spark: SparkSession, settings: Settings) -> None:
    servers = f"{settings.host}:{settings.kafka_port}"
    kafka = spark.read.format("kafka").option("kafka.bootstrap.servers", servers).option("subscribe", "none")
    for timeout in ("request.timeout.ms", "default.api.timeout.ms"):
        kafka = kafka.option(f"kafka.{timeout}", "1000")
    for ask in (lambda: kafka.load().collect(), lambda: spark.read.format("delta").load("s3a://none/none")):
        with suppress(PySparkException, Py4JJavaError):
            ask()


if __name__ == "__main__":
    main()
