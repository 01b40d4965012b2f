"""Merges a batch that was set aside, once what was wrong with it is put right.

Run as ``python -m jobs.streaming.spark.stateful.replay 17 --where "user_id <> 'midas'"`` while the job is stopped.
`lakehouse table read quarantine.batches` shows what is set aside and why. Repeating it changes nothing, and a user
whose total has changed since keeps the later one.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from pyspark.errors import PySparkException

from jobs.spark_session import build_session
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.query import serve
from jobs.streaming.spark.set_aside import Poison, set_aside_rows
from jobs.streaming.spark.stateful.user_totals import CHANGED, JOB, TABLE, merge
from lakehouse.contracts.jobs import JOBS
from lakehouse.delta import open_table
from lakehouse.delta.describe import newest_first
from lakehouse.delta.notes import Stateful
from lakehouse.runtime.owners import OwnerRunningError, owners_stopped
from lakehouse.settings import Settings

log = logging.getLogger(__name__)


def replay(settings: Settings, batch_id: int, where: str) -> int:
    """Merges the rows of the batch for which `where` holds; returns the exit status.

    Raises OwnerRunningError unless the job is stopped.
    """
    with owners_stopped(settings, [TABLE], [JOBS[JOB]]):
        return _replay(settings, batch_id, where)


def _replay(settings: Settings, batch_id: int, where: str) -> int:
    spark = build_session(settings, settings.prefixed(f"{JOB}.replay"))
    tables = DeltaTables(spark, settings)
    notes = (commit.note for commit in newest_first(open_table(settings, TABLE)))
    current = next((note.app_id for note in notes if isinstance(note, Stateful)), "")
    try:
        rows = set_aside_rows(tables, current, batch_id, CHANGED).where(where).localCheckpoint()
        count = rows.count()
        if not count:
            log.error("no such rows of batch %d of the present state (%s) are set aside", batch_id, current or "none")
            return 1
        note = Stateful(job=JOB, app_id=current, batch_id=batch_id, replayed=count)
        merge(tables, rows, batch_id, note, None)
    except PySparkException as error:
        poison = Poison.found(error)
        if poison is None:
            raise
        log.error("batch %d is still poisonous, nothing was merged; leave rows out by --where: %s", batch_id, error)
        return 1
    log.info("batch %d: %d rows merged", batch_id, count)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("batch", type=int)
    parser.add_argument("--where", default="true", help="SQL over the rows' columns: which of them; all by default")
    chosen = parser.parse_args(arguments)
    try:
        return serve(lambda settings: replay(settings, chosen.batch, chosen.where))
    except OwnerRunningError as error:
        log.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
