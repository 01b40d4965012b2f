"""What the processes of jobs have in common, whatever they run."""

import logging
from collections.abc import Callable
from typing import Final

from jobs.spark_session import MissingJarsError
from lakehouse.delta import TableError
from lakehouse.kafka.consumer import ReadError
from lakehouse.losses import RecordsLostError
from lakehouse.migration_cut import CutVoidError
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings, load_settings

_FORESEEN: Final[tuple[type[Exception], ...]] = (
    TableError,
    ServiceDownError,
    MissingJarsError,
    ReadError,
    RecordsLostError,
    CutVoidError,
)


def exit_status(log: logging.Logger, run: Callable[[Settings], int | None], *foreseen: type[Exception]) -> int:
    """Runs a job with its log on stderr: its own status, 0 without one, or 1 after an error that says by itself
    what to do, in one line of `log`.

    `foreseen`: such errors beside those of tables, services, lost records and Spark's installation; others are raised.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    try:
        return run(load_settings()) or 0
    except _FORESEEN + foreseen as error:
        log.error("%s", error)
        return 1
