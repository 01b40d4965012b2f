"""The rows of a file as records."""

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from lakehouse.contracts.events import Field, Kind
from lakehouse.contracts.times import format_time
from lakehouse.csv_events.errors import CsvError
from lakehouse.csv_events.mapping import WHITESPACE, CsvMapping, Quoting
from lakehouse.csv_events.numbers import NotANumberError, read_integer
from lakehouse.csv_events.source import Lines, kept
from lakehouse.csv_events.times import TimeError, Times
from lakehouse.kafka.sender import Outgoing

_POSITION: Final = re.compile(r"#([1-9][0-9]*)")


class CsvRecord(NamedTuple):
    """A record and the line of the file that its row begins in."""

    line: int
    record: Outgoing


def read_csv(path: Path, mapping: CsvMapping) -> Iterator[CsvRecord]:
    """The rows of `path`, plain or gzip, UTF-8, as records; ``-`` is standard input, and a pipe is read once.

    A row without a mapped ``event_id`` gets one from the content of the file and the row's number, so that the
    same file sent again is the same events. Values are not judged here: `validate` does.

    Raises:
        CsvError: the file is empty, a column is missing, a value can't be read.
    """
    with kept(path) as (stream, content):
        rows = _Rows(path, mapping, Lines(path, stream), content).read()
        if mapping.by_time:
            yield from (row for _, row in sorted(rows, key=lambda dated: (dated[0], dated[1].line)))
        else:
            yield from (row for _, row in rows)


class _Rows:
    def __init__(self, path: Path, mapping: CsvMapping, lines: Lines, content: str) -> None:
        self._path = path
        self._mapping = mapping
        self._lines = lines
        self._content = content
        self._times = Times(mapping)
        self._names: Sequence[str] = ()

    def read(self) -> Iterator[tuple[int, CsvRecord]]:
        """Event time in milliseconds and record, in the file's order."""
        positions: dict[str, int] | None = None
        number = 0
        for row in self._split():
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if positions is None:
                self._names = row if self._mapping.header else [str(n + 1) for n in range(len(row))]
                positions = {field: self._locate(field, column) for field, column in self._mapping.columns.items()}
                if self._mapping.header:
                    continue
            if len(row) != len(self._names):
                raise self._wrong_width(len(row))
            number += 1
            yield self._event(row, positions, number)
        if positions is None:
            raise CsvError(self._path, 1, "the file is empty")
        if not number:
            raise CsvError(self._path, self._lines.number, "the file has a header and no rows")

    def _split(self) -> Iterator[list[str]]:
        lines, mapping = self._lines, self._mapping
        if mapping.delimiter == WHITESPACE:
            for line in lines:
                yield line.split()
                lines.begin_row()
            return
        # A value that is too large is refused by validation, with its row alone; the module's own limit ends the file.
        csv.field_size_limit(sys.maxsize)
        quoting: Final = csv.QUOTE_NONE if mapping.quoting is Quoting.NONE else csv.QUOTE_MINIMAL
        try:
            for row in csv.reader(lines, delimiter=mapping.delimiter, quoting=quoting, strict=True):
                if len(lines.row) > 1 and mapping.delimiter == "\t":
                    self._check_quotes(row)
                yield row
                lines.begin_row()
        except csv.Error as error:
            raise self._broken_quotes(str(error)) from error

    def _check_quotes(self, row: Sequence[str]) -> None:
        """Most tab-separated files quote nothing, and a quote that two of their values begin and end with would make
        one of all between. Values that hold both a tab and the end of a line are not what anybody writes."""
        for column, value in enumerate(row):
            if "\t" in value and ("\n" in value or "\r" in value):
                problem = f"it ends in line {self._lines.number}, with tabs and ends of lines within it"
                raise self._quote(column, problem)

    def _broken_quotes(self, problem: str) -> CsvError:
        opened = _quotes(self._lines.row, self._mapping.delimiter)
        if not opened:
            return self._error(problem)
        ends_within = "end of data" not in problem
        return self._quote(
            next(reversed(opened)),
            f"in line {self._lines.number} it ends and something else than the next column follows"
            if ends_within
            else "it never ends",
        )

    def _quote(self, column: int, problem: str) -> CsvError:
        line = self._lines.first + _quotes(self._lines.row, self._mapping.delimiter)[column]
        name = self._names[column] if column < len(self._names) else None
        return CsvError(
            self._path,
            line,
            f"a quote opens a value here, and {problem}. Within a quoted value two quotes are one; by --quoting none "
            f"each is a character like others",
            name,
        )

    def _wrong_width(self, columns: int) -> CsvError:
        lines = self._lines
        quoted = f"; a quoted value in it goes on to line {lines.number}" if len(lines.row) > 1 else ""
        return self._error(f"{columns} column{'s'[: columns != 1]} where the first line has {len(self._names)}{quoted}")

    def _locate(self, field: str, column: str) -> int:
        names = list(self._names)
        found = [n for n, name in enumerate(names) if name == column]
        if len(found) == 1:
            return found[0]
        if found:
            places = " and ".join(f"#{n + 1}" for n in found)
            raise self._error(f"so are called {places}: say which, like --map {field}=#{found[-1] + 1}", column)
        position = _POSITION.fullmatch(column)
        if position and int(position[1]) <= len(names):
            return int(position[1]) - 1
        raise self._error(f"no such column; the columns are {', '.join(map(_spelt, names))}", column)

    def _event(self, row: Sequence[str], positions: Mapping[str, int], number: int) -> tuple[int, CsvRecord]:
        mapping, payload = self._mapping, dict[str, Any]()
        at = 0
        for f in mapping.contract.fields:
            if f.name in positions:
                text, column = row[positions[f.name]], mapping.columns[f.name]
                if f.name in mapping.values:
                    text = self._meaning(text, f, column)
            elif f.name in mapping.constants:
                text, column = mapping.constants[f.name], f"--set {f.name}"
            elif f.name == "event_id":
                text, column = f"{self._content}-{number}", ""
            else:
                continue
            if f.nullable and not text:
                payload[f.name] = None
                continue
            try:
                if f.kind is Kind.TIME:
                    milliseconds = self._times.read(text)
                    payload[f.name] = format_time(milliseconds)
                    at = milliseconds if f.name == "event_time" else at
                elif f.kind is Kind.INTEGER:
                    payload[f.name] = read_integer(text, mapping.decimal, mapping.scale.get(f.name, 1), f.name)
                else:
                    payload[f.name] = text
            except (TimeError, NotANumberError) as error:
                raise self._error(str(error), column) from None
        key = str(payload[mapping.contract.key]).encode()
        value = json.dumps(payload, ensure_ascii=False).encode()
        return at, CsvRecord(self._lines.first, (mapping.topic, key, value))

    def _meaning(self, text: str, f: Field, column: str) -> str:
        meanings = self._mapping.values[f.name]
        if text not in meanings:
            known = ", ".join(map(repr, meanings))
            raise self._error(f"{text!r} is none of the values of --values {f.name}: {known}", column)
        return meanings[text]

    def _error(self, problem: str, column: str | None = None) -> CsvError:
        return CsvError(self._path, self._lines.first, problem, column or None)


def _spelt(name: str) -> str:
    """Quoted where it couldn't be told from its neighbours."""
    return name if name and name == name.strip() and "," not in name else repr(name)


def _quotes(row: Sequence[str], delimiter: str) -> dict[int, int]:
    """Where quoted values open in the lines of a row: column -> line, both from 0, in the order of the text."""
    opened: dict[int, int] = {}
    column, quoted = 0, False
    for number, line in enumerate(row):
        at = 0
        while 0 <= at < len(line):
            if quoted:
                at = line.find('"', at)
                if at >= 0 and line.startswith('""', at):
                    at += 2
                elif at >= 0:
                    at, quoted = at + 1, False
            elif line[at] == '"':
                opened[column] = number
                at, quoted = at + 1, True
            else:
                at = line.find(delimiter, at)
                if at >= 0:
                    at, column = at + 1, column + 1
    return opened
