"""A file's content: read once from wherever it comes, and line by line."""

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

from lakehouse.csv_events.errors import CsvError
from lakehouse.input_files import BROKEN_GZIP, STDIN, opened

_LONE_CR: Final = re.compile(r"(?<=\r)(?!\n)")


@contextmanager
def kept(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """The content of `path` (see `opened`) from its start, and 16 digits of its SHA-256.

    It is read twice; what gives its bytes once (a pipe, standard input) is kept in a temporary file meanwhile.

    Raises:
        CsvError: the gzip data are broken.
    """
    with ExitStack() as stack:
        stream = stack.enter_context(opened(path))
        try:
            if path == STDIN or not path.is_file():
                copy = stack.enter_context(TemporaryFile())
                shutil.copyfileobj(stream, copy)
                copy.seek(0)
                stream = cast(BinaryIO, copy)
            content = hashlib.file_digest(stream, "sha256").hexdigest()[:16]  # type: ignore[arg-type]
        except BROKEN_GZIP as error:
            raise CsvError(path, 1, f"broken gzip file ({error})") from error
        stream.seek(0)
        yield stream, content


class Lines:
    """The lines of a UTF-8 text as `csv.reader` takes them, each with its end, be that LF, CRLF or CR.

    `number` is that of the line which was given last, and `row` holds the lines since the last call of `begin_row`.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self.number = 0
        self.row: list[str] = []

    @property
    def first(self) -> int:
        """The number of the line that the row begins in."""
        return self.number - max(len(self.row), 1) + 1

    def begin_row(self) -> None:
        self.row = []

    def __iter__(self) -> Iterator[str]:
        """Raises CsvError: a line is not UTF-8."""
        for raw in self._stream:
            for line in self._decoded(raw):
                self.number += 1
                self.row.append(line)
                yield line

    def _decoded(self, raw: bytes) -> Sequence[str]:
        try:
            text = raw.decode("utf-8-sig" if self.number == 0 else "utf-8")
        except UnicodeDecodeError as error:
            where = f"{error.reason} at byte {error.start + 1} of the line"
            raise CsvError(
                self._path,
                self.number + 1,
                f"not UTF-8 ({where}): convert it, as by `iconv -f WINDOWS-1252 -t UTF-8 FILE | lakehouse produce "
                f"--csv - ...`",
            ) from None
        return [line for line in _LONE_CR.split(text) if line] if "\r" in text else (text,)
