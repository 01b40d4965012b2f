"""A service of ours in a thread of the test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lakehouse.settings import Settings


@contextmanager
def in_thread(
    run: Callable[[Settings, threading.Event], None], settings: Settings, stops_in: float | None = 30
) -> Iterator[None]:
    """While the block lasts, `run` does; in the end it must stop within `stops_in` seconds (None: at some time)."""
    stopping = threading.Event()
    thread = threading.Thread(target=run, args=(settings, stopping))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(stops_in)
        assert not thread.is_alive()
