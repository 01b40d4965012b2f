"""Totals per user from Spark's state store: Kafka -> state (RocksDB) -> MERGE into its table, in update mode.

Run as ``python -m jobs.streaming.spark.stateful.main``. Spark notes a batch as done after its MERGE, together with
offsets and state; one that dies before is repeated with the same records on the state of the batch before it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from pyspark.sql import DataFrame

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables, Transaction
from jobs.streaming.spark.micro_batch import judge, kafka_source, valid_events
from jobs.streaming.spark.progress import Journal, journal_path
from jobs.streaming.spark.query import AppId, run_query, serve, verified_topics
from jobs.streaming.spark.set_aside import SetAside
from jobs.streaming.spark.stateful.user_totals import JOB, TABLE, merge, running_totals
from lakehouse.checkpoints import current_checkpoint
from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.events import PURCHASES
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, create_table, replace_all
from lakehouse.delta.notes import Stateful
from lakehouse.settings import Settings

STATE_STORE = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


@dataclass(slots=True)
class Batches:
    """Handles the stream's micro-batches."""

    settings: Settings
    app_id: AppId
    same_topics: Callable[[], None]
    _begun: bool = field(default=False)

    def handle(self, changed: DataFrame, batch_id: int) -> None:
        """Called by Spark for each micro-batch, again with the same records if it did not return."""
        app_id = self.app_id()
        journal = Journal(journal_path(self.settings, JOB), batch_id)
        journal.begin()
        try:
            if not self._begun:
                begin(self.settings, app_id)
                self._begun = True
            with journal.step("state"):
                # The one time that the state is read and written; all that follows reads these rows.
                rows = changed.localCheckpoint()
            self.same_topics()
            tables = DeltaTables(changed.sparkSession, self.settings)

            def write(rows: DataFrame, batch_id: int) -> None:
                note = Stateful(job=JOB, app_id=app_id, batch_id=batch_id)
                merge(tables, rows, batch_id, note, Transaction(app_id, batch_id))

            with journal.step("merge"):
                poison = SetAside(JOB, app_id, tables, write)(rows, batch_id)
            journal.end(set_aside=poison.condition if poison else None)
        except BaseException as error:
            journal.fail(error)
            raise


def begin(settings: Settings, app_id: str) -> None:
    """A new state begins with an empty table, once: what another one has written is not its to go on from."""
    nothing = arrow_schema(table(TABLE)).empty_table()
    replace_all(settings, TABLE, nothing, Once(app_id, -1), Stateful(job=JOB, app_id=app_id))


def run(settings: Settings) -> int:
    """Runs the query until it fails; returns the exit status."""
    for name in JOBS[JOB].writes:
        create_table(settings, name)
    same_topics = verified_topics(settings, JOB)
    spark = build_session(
        settings, settings.prefixed(JOB), overrides={"spark.driver.memory": settings.spark_state_memory}
    )
    spark.conf.set("spark.sql.streaming.stateStore.providerClass", STATE_STORE)
    source = kafka_source(spark, settings, (PURCHASES,), current_checkpoint(settings, JOB).start)
    totals = running_totals(valid_events(judge(source.load(), settings), PURCHASES))
    return run_query(settings, JOB, totals, lambda app_id: Batches(settings, app_id, same_topics).handle, "update")


if __name__ == "__main__":
    sys.exit(serve(run))
