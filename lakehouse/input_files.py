"""Files that people name: plain or gzip, a pipe (``<(...)``), or standard input."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

STDIN: Final = Path("-")
BROKEN_GZIP: Final = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading broken gzip data raises."""
_GZIP_MAGIC: Final = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of `path`, of standard input where it is ``-``, unpacked where they are gzip.

    It is opened once and not sought: a pipe gives its bytes once. Raises what `Path.open` raises; reading, what
    `BROKEN_GZIP` names.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(os.fdopen(0, "rb", closefd=False) if path == STDIN else path.open("rb"))
        # Of a pipe the first look may show a single byte: no text begins with gzip's.
        begin = raw.peek(2)[:2]
        packed = bool(begin) and _GZIP_MAGIC.startswith(begin)
        yield cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw)) if packed else raw)


def spoken(path: Path) -> str:
    """What people are told that `path` is."""
    return "standard input" if path == STDIN else str(path)
