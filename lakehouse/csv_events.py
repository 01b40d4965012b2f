"""Anybody's CSV file as events of a topic."""

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from pathlib import Path
from typing import IO, Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lakehouse.contracts.events import EVENTS, EventContract, Field, Kind
from lakehouse.contracts.times import format_time
from lakehouse.kafka.sender import Outgoing

WHITESPACE: Final = "whitespace"
ISO, EPOCH, EPOCH_MS = "iso", "epoch", "epoch_ms"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT64: Final = 2**63
_EXACT: Final = Context(prec=100, traps=[InvalidOperation, Inexact])


class CsvError(ValueError):
    """The file doesn't say what the mapping asks for; the message names file, line and column."""

    def __init__(self, path: Path, line: int, problem: str, column: str | None = None) -> None:
        where = f"{path}, line {line}" + (f", column {column!r}" if column else "")
        super().__init__(f"{where}: {problem}")


class MappingError(ValueError):
    """The mapping doesn't make a complete event of its topic."""


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """How rows become events of `topic`.

    `columns` maps fields to column names, or to positions ("1" is the first) where the file has no `header`;
    `constants` are fields with the same value in every row. Times are ``iso``, ``epoch``, ``epoch_ms`` or a
    `datetime.strptime` format, in the time zone `tz` where they name none, moved by `shift_days`. Integers are
    multiplied by `scale` before they must be whole: 100 makes cents of an amount with decimals.

    Raises:
        MappingError: a field is unknown, mapped twice or missing, or the time zone is unknown.
    """

    topic: str
    columns: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    time_format: str = ISO
    tz: str = "UTC"
    scale: Mapping[str, int] = field(default_factory=dict)
    header: bool = True
    by_time: bool = True
    """Send in event-time order; else in the file's."""
    shift_days: int = 0

    def __post_init__(self) -> None:
        if self.topic not in EVENTS:
            raise MappingError(f"unknown topic {self.topic!r}; known topics: {', '.join(EVENTS)}")
        names = [f.name for f in self.contract.fields]
        if unknown := [n for n in (*self.columns, *self.constants, *self.scale) if n not in names]:
            raise MappingError(f"{self.topic} has no field {unknown[0]!r}; its fields: {', '.join(names)}")
        if twice := self.columns.keys() & self.constants.keys():
            raise MappingError(f"{min(twice)} is both mapped to a column and set to a constant")
        given = {"event_id", *self.columns, *self.constants}
        if missing := [f.name for f in self.contract.fields if f.name not in given and not f.nullable]:
            raise MappingError(
                f"{self.topic} needs {missing[0]}: say --map {missing[0]}=COLUMN or --set {missing[0]}=VALUE"
            )
        if self.delimiter != WHITESPACE and len(self.delimiter) != 1:
            raise MappingError(f"a delimiter is one character or {WHITESPACE!r}, not {self.delimiter!r}")
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError):
            raise MappingError(f"unknown time zone {self.tz!r}; write it like Europe/Berlin") from None

    @property
    def contract(self) -> EventContract:
        return EVENTS[self.topic]


class CsvRecord(NamedTuple):
    """A record and the line of the file that it comes from."""

    line: int
    record: Outgoing


def read_csv(path: Path, mapping: CsvMapping) -> Iterator[CsvRecord]:
    """The rows of `path`, plain or gzip, UTF-8, as records.

    A row without a mapped ``event_id`` gets one from the content of the file and the row's number, so that the
    same file sent again is the same events. Values are not judged here: `validate` does.

    Raises:
        CsvError: the file is empty, a column is missing, a value can't be read.
    """
    try:
        with _open(path) as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()[:16]  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CsvError(path, 1, f"broken gzip file ({error})") from error
    rows = _Rows(path, mapping, content).read()
    if mapping.by_time:
        yield from (row for _, row in sorted(rows, key=lambda dated: (dated[0], dated[1].line)))
    else:
        yield from (row for _, row in rows)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path) if compressed else path.open("rb")  # type: ignore[return-value]


class _Rows:
    def __init__(self, path: Path, mapping: CsvMapping, content: str) -> None:
        self._path = path
        self._mapping = mapping
        self._content = content
        self._zone = ZoneInfo(mapping.tz)
        self._shift = timedelta(days=mapping.shift_days)
        self._line = 0

    def read(self) -> Iterator[tuple[int, CsvRecord]]:
        """Event time in milliseconds and record, in the file's order."""
        with _open(self._path) as stream:
            rows = self._split(stream)
            positions: dict[str, int] | None = None
            width = number = 0
            for row in rows:
                if not row:
                    continue
                if positions is None:
                    names = row if self._mapping.header else [str(n + 1) for n in range(len(row))]
                    positions, width = self._locate(names), len(row)
                    if self._mapping.header:
                        continue
                if len(row) != width:
                    raise self._error(f"{len(row)} columns where the first line has {width}")
                number += 1
                yield self._event(row, positions, number)
            if positions is None:
                raise CsvError(self._path, 1, "the file is empty")
            if not number:
                raise CsvError(self._path, self._line, "the file has a header and no rows")

    def _split(self, stream: IO[bytes]) -> Iterator[list[str]]:
        lines = self._lines(stream)
        if self._mapping.delimiter == WHITESPACE:
            yield from (line.split() for line in lines)
            return
        try:
            yield from csv.reader(lines, delimiter=self._mapping.delimiter, strict=True)
        except csv.Error as error:
            raise self._error(str(error)) from error

    def _lines(self, stream: IO[bytes]) -> Iterator[str]:
        try:
            for self._line, raw in enumerate(stream, 1):
                yield raw.decode("utf-8-sig" if self._line == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"not UTF-8 ({error.reason} at byte {error.start})") from error

    def _locate(self, names: Sequence[str]) -> dict[str, int]:
        positions = {}
        for name, column in self._mapping.columns.items():
            if column not in names:
                raise self._error(f"no such column; the columns are {', '.join(names)}", column)
            positions[name] = names.index(column)
        return positions

    def _event(self, row: Sequence[str], positions: Mapping[str, int], number: int) -> tuple[int, CsvRecord]:
        mapping, payload = self._mapping, dict[str, Any]()
        at = 0
        for f in mapping.contract.fields:
            if f.name in positions:
                text, column = row[positions[f.name]], mapping.columns[f.name]
            elif f.name in mapping.constants:
                text, column = mapping.constants[f.name], f"--set {f.name}"
            elif f.name == "event_id":
                text, column = f"{self._content}-{number}", ""
            else:
                continue
            if f.nullable and not text:
                payload[f.name] = None
            elif f.kind is Kind.TIME:
                milliseconds = self._time(text, column)
                payload[f.name] = format_time(milliseconds)
                at = milliseconds if f.name == "event_time" else at
            elif f.kind is Kind.INTEGER:
                payload[f.name] = self._integer(text, f, column)
            else:
                payload[f.name] = text
        key = str(payload[mapping.contract.key]).encode()
        return at, CsvRecord(self._line, (mapping.topic, key, json.dumps(payload, ensure_ascii=False).encode()))

    def _time(self, text: str, column: str) -> int:
        written = self._mapping.time_format
        try:
            if written in (EPOCH, EPOCH_MS):
                moment = _EPOCH + timedelta(milliseconds=int(Decimal(text) * (1000 if written == EPOCH else 1)))
            else:
                moment = datetime.fromisoformat(text) if written == ISO else datetime.strptime(text, written)
                moment = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
            return (moment + self._shift - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError, InvalidOperation):
            raise self._error(f"{text!r} is not a time in the format {written!r}", column) from None

    def _integer(self, text: str, f: Field, column: str) -> int:
        factor = self._mapping.scale.get(f.name, 1)
        try:
            scaled = _EXACT.multiply(Decimal(text), factor)
        except ArithmeticError:
            raise self._error(f"{text!r} is not a number", column) from None
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            raise self._error(f"{text!r} times {factor} is not a whole number; choose --scale {f.name}=100", column)
        if not -_INT64 <= scaled < _INT64:
            raise self._error(f"{text!r} is too large", column)
        return int(scaled)

    def _error(self, problem: str, column: str | None = None) -> CsvError:
        return CsvError(self._path, self._line, problem, column or None)
