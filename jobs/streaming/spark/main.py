"""The Spark driver: one streaming query from Kafka to bronze, silver and gold, and the change sets of replays.

Run as ``python -m jobs.streaming.spark.main``. Ends with status 0 on SIGTERM, and with 1 when a batch failed;
the batch, repeated by the next driver, finds its steps done or does them.
"""

import sys
import threading

from jobs.spark_session import build_session
from jobs.streaming.spark.change_sets import ChangeSets
from jobs.streaming.spark.micro_batch import kafka_stream
from jobs.streaming.spark.pipeline import Pipeline
from jobs.streaming.spark.query import run_query, serve, verified_topics
from lakehouse.checkpoints import current_checkpoint
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.delta import create_table
from lakehouse.runtime.code_in_force import note_running
from lakehouse.settings import Settings


def run(settings: Settings) -> int:
    """Runs the query until it fails; returns the exit status."""
    # Before anything else: columns that contracts have gained are added here, and what doesn't fit ends the driver.
    for name in JOBS[SPARK_INGEST].writes:
        create_table(settings, name)
    same_topics = verified_topics(settings, SPARK_INGEST)
    code = note_running(settings, SPARK_INGEST)
    spark = build_session(settings, settings.prefixed(SPARK_INGEST), ui=True)
    alone = threading.Lock()
    ChangeSets(spark, settings, alone, code).follow()
    stream = kafka_stream(spark, settings, current_checkpoint(settings, SPARK_INGEST).start)
    return run_query(
        settings, SPARK_INGEST, stream, lambda app_id: Pipeline(settings, app_id, same_topics, alone).handle
    )


if __name__ == "__main__":
    sys.exit(serve(run))
