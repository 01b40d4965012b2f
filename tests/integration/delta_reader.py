"""Reads ``bronze.clicks`` as a stream, as a process of its own.

``python -m tests.integration.delta_reader NAMESPACE JOURNAL CHECKPOINT`` appends the positions of each micro-batch to
JOURNAL. A changed schema ends such a query; it is started again from its checkpoint. Ends after what is there when it
gets a line.
"""

import json
import sys
import threading
from pathlib import Path

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from lakehouse.settings import load_settings

TABLE = "bronze.clicks"


def read(spark: SparkSession, path: str, journal: Path, checkpoint: str, finished: threading.Event) -> None:
    def note(batch: DataFrame, batch_id: int) -> None:
        positions = [tuple(row) for row in batch.select("partition", "offset").collect()]
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps([batch_id, positions]) + "\n")

    query = (
        spark.readStream.format("delta")
        .option("skipChangeCommits", "true")
        .load(path)
        .writeStream.option("checkpointLocation", checkpoint)
        .trigger(processingTime="1 second")
        .foreachBatch(note)
        .start()
    )
    while not query.awaitTermination(1):
        if finished.is_set():
            query.processAllAvailable()
            query.stop()
            return


def main(namespace: str, journal: str, checkpoint: str) -> None:
    settings = load_settings().model_copy(update={"namespace": namespace})
    spark = build_session(settings, "reader")
    path = DeltaTables(spark, settings).path(TABLE)
    finished = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), finished.set()), daemon=True).start()
    print("ready", flush=True)
    restarts = 0
    while True:
        try:
            read(spark, path, Path(journal), checkpoint, finished)
            break
        except StreamingQueryException as error:
            if "SCHEMA_CHANGED" not in str(error):
                raise
            restarts += 1
    print(json.dumps({"restarts": restarts}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
