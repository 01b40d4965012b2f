"""A streaming query as a process: bound to its checkpoint, ended by SIGTERM, repeated by the next process."""

import logging
import os
import re
import signal
import threading
from collections.abc import Callable
from types import FrameType

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from jobs.process import exit_status
from lakehouse.checkpoints import Positions, current_checkpoint
from lakehouse.contracts.jobs import JOBS
from lakehouse.delta.installations import require_own
from lakehouse.losses import require_same
from lakehouse.runtime.process import FINISH, FINISHED_STATUS
from lakehouse.runtime.sources import verify_sources
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import query_id

log = logging.getLogger(__name__)
_finish = threading.Event()

AppId = Callable[[], str]
"""The application id of a query's Delta transactions; known, and waited for, once the query has started."""
Handle = Callable[[DataFrame, int], None]
"""What Spark calls for each micro-batch, and again with the same records if it did not return."""


def verified_topics(settings: Settings, job: str, start: Positions | None = None) -> Callable[[], None]:
    """Before a query of `job` starts, the first one at `start` or at the beginning of its topics: that it will jump
    over no record. What is returned says so of a micro-batch.

    Spark itself finds only what lies below a log's beginning. So call it once a batch's records are read and before
    any of them is written: a topic that was deleted and made anew has other records at the same offsets.

    Raises RecordsLostError, both now and then.
    """
    spec, checkpoint = JOBS[job], current_checkpoint(settings, job)
    fresh = checkpoint.start is None and query_id(settings, checkpoint) is None
    verified = verify_sources(settings, spec, fresh=fresh, start=start)
    return lambda: require_same(settings, job, verified.topics)


def run_query(
    settings: Settings, job: str, frame: DataFrame, handler: Callable[[AppId], Handle], output_mode: str = "append"
) -> int:
    """Runs the query of `job` until it fails; returns the exit status.

    Its Delta transactions are numbered by batch, and batches by the checkpoint. So the id that they are numbered under
    is the query's, which Spark keeps in the checkpoint: the same as long as the checkpoint is, and a new one when
    batches begin at 0 again, whose first commits would be taken for repetitions otherwise.

    Raises ForeignTablesError: the checkpoint is another installation's.
    """
    require_own(settings)
    started, between = threading.Event(), threading.Lock()
    query_id, done = "", -1

    def app_id() -> str:
        started.wait()
        return settings.prefixed(f"{job}.{query_id}")

    handle = handler(app_id)

    def one_at_a_time(rows: DataFrame, batch_id: int) -> None:
        nonlocal done
        with between:
            handle(rows, batch_id)
            done = batch_id

    query = (
        frame.writeStream.queryName(job)
        .outputMode(output_mode)
        .option("checkpointLocation", current_checkpoint(settings, job).location(settings))
        .foreachBatch(one_at_a_time)
        .start()
    )
    query_id = query.id
    started.set()
    log.info("%s: query %s started; journal in %s", job, query.id, settings.home / "logs")
    try:
        while not query.awaitTermination(1):
            if _finish.is_set():
                with between:
                    _end_after(query, done)
    except StreamingQueryException as error:
        last = query.lastProgress
        log.error("%s: %s", job, error)
        # The last error in the log is what the job's status shows.
        log.error("%s: failed after batch %s: %s", job, last["batchId"] if last else "none", causes(str(error)))
        return 1
    return 0


def _end_after(query: StreamingQuery, batch_id: int) -> None:
    """Ends this process when the checkpoint knows that a batch is done; no other may begin meanwhile."""
    while batch_id >= 0 and not ((last := query.lastProgress) and last["batchId"] >= batch_id):
        if query.awaitTermination(1):
            return
    log.info("ended between batches, after batch %s", batch_id if batch_id >= 0 else "none of this process")
    logging.shutdown()
    os._exit(FINISHED_STATUS)


def causes(trace: str) -> str:
    """Of a Java stack trace, what each exception says that caused another, in one line; without any, its first line."""
    found = re.findall(r"^Caused by: (.+)$", trace, re.MULTILINE)
    return "; caused by ".join(dict.fromkeys(found)) or trace.partition("\n")[0]


def serve(run: Callable[[Settings], int]) -> int:
    """The whole of such a process; returns its exit status. On SIGTERM it ends with status 0, at once; on `FINISH` with
    `FINISHED_STATUS`, once the batch under way is done."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    signal.signal(FINISH, lambda *_: _finish.set())
    return exit_status(log, run)


def _stop(signum: int, _frame: FrameType | None) -> None:
    # Not sys.exit: it would wait for the steps under way. The JVM ends with this process, and a batch that is
    # cut off at any point is repeated.
    log.info("%s: stopping", signal.Signals(signum).name)
    logging.shutdown()
    os._exit(0)
