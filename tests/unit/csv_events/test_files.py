"""Files as they come: pipes, quotes that are none, and values of any length."""

import gzip
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contracts.validation import Invalid, Reason, validate
from lakehouse.csv_events import CsvError, CsvMapping, Quoting, read_csv

VIEWS = CsvMapping(
    "shop.clicks",
    columns={"user_id": "who", "event_time": "at", "page": "query"},
    constants={"action": "impression", "region": "de"},
    delimiter="\t",
)
HEADER = "who\tat\tquery\n"


def events(path: Path, mapping: CsvMapping = VIEWS) -> list[dict[str, Any]]:
    return [json.loads(row.record[2] or b"") for row in read_csv(path, mapping)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "views.tsv"


@contextmanager
def pipe(folder: Path, content: bytes) -> Iterator[Path]:
    """A named pipe, as ``<(...)`` is, which gives `content` to the first who reads it, byte by byte at first."""
    path = folder / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as end:
            for part in (content[:1], content[1:]):
                end.write(part)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    yield path
    writer.join(10)
    assert not writer.is_alive()


@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_the_same_events_as_the_file(file: Path, tmp_path: Path, packed: bool) -> None:
    content = f"{HEADER}bob\t2026-03-01T10:01:00Z\tpan\nana\t2026-03-01T10:00:00Z\tmug\n".encode()
    content = gzip.compress(content) if packed else content
    file.write_bytes(content)
    with pipe(tmp_path, content) as path:
        assert events(path) == events(file)
    assert [event["user_id"] for event in events(file)] == ["ana", "bob"]


def test_an_empty_pipe_is_empty(tmp_path: Path) -> None:
    with pipe(tmp_path, b"") as path, pytest.raises(CsvError, match=f"{path}, line 1: the file is empty"):
        events(path)


def test_a_broken_gzip_pipe_is_named_as_that(tmp_path: Path) -> None:
    with pipe(tmp_path, gzip.compress(HEADER.encode())[:-9]) as path, pytest.raises(CsvError, match="broken gzip"):
        events(path)


def test_without_quoting_every_line_is_a_row(file: Path) -> None:
    queries = ['27" monitor', '"wireless mouse', "keyboard", '"usb hub" cheap', '""']
    rows = (f"u{n}\t2026-03-01T10:0{n}:00Z\t{query}\r\n" for n, query in enumerate(queries))
    file.write_bytes((HEADER + "".join(rows)).encode())
    assert [event["page"] for event in events(file, replace(VIEWS, quoting=Quoting.NONE))] == queries


@pytest.mark.parametrize(
    ("rows", "line", "said"),
    [
        # Never closed: the rest of the file would be one value.
        ('a\t2026-03-01\t27" screen\nb\t2026-03-01\t"mouse\nc\t2026-03-01\tx\n', 3, "never ends"),
        # Closed by a quote that opens another value, in the middle of a line.
        ('b\t2026-03-01\t"mouse\nc\t2026-03-01\tx\nd\t2026-03-01\t"usb" hub\n', 2, "in line 4 it ends and something"),
        # Closed at the end of another line: two rows would be one, and nobody would know.
        ('b\t2026-03-01\t"mouse\nc\t2026-03-01\t5"\nd\t2026-03-01\tx\n', 2, "in line 3, with tabs"),
        # In a line of its own record that isn't the first.
        ('b\t"2026-\n03-01"\t"mouse\nc\t2026-03-01\tx\n', 3, "never ends"),
        ('b\t"a ""b"" \t2026-03-01\tx\n', 2, "never ends"),
    ],
)
def test_an_unclosed_quote_is_named_where_it_opens(file: Path, rows: str, line: int, said: str) -> None:
    file.write_text(HEADER + rows)
    with pytest.raises(CsvError, match=rf"{file}, line {line}, column '\w+': a quote opens .*{said}.*--quoting none"):
        events(file)


def test_an_unclosed_quote_in_the_header_is_named(file: Path) -> None:
    file.write_text('who\tat\t"query\nana\t2026-03-01\tx\n')
    with pytest.raises(CsvError, match=rf"{file}, line 1: a quote opens a value here, and it never ends"):
        events(file)


def test_a_quote_that_swallows_columns_is_told_by_the_lines(file: Path) -> None:
    file.write_text('who,at,query\nana,"2026-03-01,x\nbob,2026-03-01",x,y\n')
    with pytest.raises(CsvError, match=r"line 2: 4 columns where the first line has 3; a quoted .* goes on to line 3"):
        events(file, replace(VIEWS, delimiter=","))


def test_quotes_within_a_value_and_two_for_one(file: Path) -> None:
    file.write_text('who,at,query\nana,2026-03-01,27" screen\nbob,2026-03-01,"27"" screen, black"\n')
    found = events(file, replace(VIEWS, delimiter=","))
    assert [event["page"] for event in found] == ['27" screen', '27" screen, black']


def test_a_value_that_is_too_large_is_refused_with_its_row_alone(file: Path) -> None:
    file.write_text(f"{HEADER}ana\t2026-03-01\t{'x' * 200_000}\nbob\t2026-03-01\tx\n")
    large, small = (validate(*row.record, arrival_ms=10**13) for row in read_csv(file, VIEWS))
    assert large == Invalid(Reason.TOO_LARGE)
    assert not isinstance(small, Invalid)
