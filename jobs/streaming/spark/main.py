"""The Spark driver: one streaming query from Kafka to bronze, silver and gold.

Run as ``python -m jobs.streaming.spark.main``. Ends with status 0 on SIGTERM, and with 1 when a batch failed;
the batch, repeated by the next driver, finds its steps done or does them.
"""

import logging
import os
import signal
import sys
import threading
from types import FrameType

from pyspark.errors import StreamingQueryException

from jobs.catalog import JOBS
from jobs.spark_session import MissingJarsError, build_session
from jobs.streaming.spark.micro_batch import kafka_stream
from jobs.streaming.spark.pipeline import Pipeline
from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.delta import TableError, create_table
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings, load_settings

log = logging.getLogger(SPARK_INGEST)


def _stop(signum: int, _frame: FrameType | None) -> None:
    # Not sys.exit: it would wait for the steps under way. The JVM ends with this process, and a batch that is
    # cut off at any point is repeated.
    log.info("%s: stopping", signal.Signals(signum).name)
    logging.shutdown()
    os._exit(0)


def run(settings: Settings) -> int:
    """Runs the query until it fails; returns the exit status."""
    # Before anything else: columns that contracts have gained are added here, and what doesn't fit ends the driver.
    for name in JOBS[SPARK_INGEST].writes:
        create_table(settings, name)
    spark = build_session(settings, settings.prefixed(SPARK_INGEST), ui=True)
    started = threading.Event()
    query_id = ""

    def app_id() -> str:
        # Spark keeps the query's id in the checkpoint: it is a new one exactly when the checkpoint is.
        started.wait()
        return settings.prefixed(f"{SPARK_INGEST}.{query_id}")

    query = (
        kafka_stream(spark, settings)
        .writeStream.queryName(SPARK_INGEST)
        .option("checkpointLocation", settings.checkpoint_path(SPARK_INGEST))
        .foreachBatch(Pipeline(settings, app_id).handle)
        .start()
    )
    query_id = query.id
    started.set()
    log.info("query %s started; journal in %s", query.id, settings.home / "logs")
    try:
        while not query.awaitTermination(1):
            pass
    except StreamingQueryException as error:
        last = query.lastProgress
        log.error("failed after batch %s: %s", last["batchId"] if last else "none", error)
        return 1
    return 0


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        return run(load_settings())
    except (MissingJarsError, ServiceDownError, TableError) as error:
        log.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
