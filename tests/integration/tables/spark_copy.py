"""Spark, as a process of its own: reads tables of one namespace and writes their rows into another's.

``python -m tests.integration.tables.spark_copy FROM TO TABLE...``
"""

import sys

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.delta.notes import Batch
from lakehouse.settings import load_settings


def main(source: str, target: str, *names: str) -> None:
    settings = load_settings()
    spark = build_session(settings, "copy")
    read = DeltaTables(spark, settings.model_copy(update={"namespace": source}))
    written = DeltaTables(spark, settings.model_copy(update={"namespace": target}))
    for name in names:
        written.create(name)
        written.append(name, read.read(name, read.version(name)), Batch(job="copy", batch_id=0))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
