"""A plain consumer as a process: no engine, one loop that ends when it is told to."""

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from lakehouse.settings import Settings, load_settings


def serve(log: logging.Logger, run: Callable[[Settings, threading.Event], None], *foreseen: type[Exception]) -> int:
    """The whole of such a process: `run` until SIGTERM or SIGINT sets its event; returns the exit status.

    An error ends it with 1, `foreseen` ones in one line of `log` and others with their stack trace too: the last error
    in the log is what the job's status shows.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it says each request
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(load_settings(), stopping)
    except foreseen as error:
        log.error("%s", error)
        return 1
    except Exception as error:
        log.exception("%s: %s", type(error).__name__, error)
        return 1
    return 0


def side_by_side(parts: Sequence[Callable[[], None]], stopping: threading.Event) -> None:
    """Runs the parts of a process, each in a thread, until all have ended.

    Raises what ended one of them, once the others have stopped: a process of which a part is dead would look alive and
    never be started again.
    """
    with ThreadPoolExecutor(len(parts)) as threads:
        begun = [threads.submit(part) for part in parts]
        try:
            for ended in as_completed(begun):
                ended.result()
        finally:
            stopping.set()
