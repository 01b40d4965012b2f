"""How the rows of a file become events."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lakehouse.contracts.events import EVENTS, EventContract, Kind
from lakehouse.csv_events.errors import MappingError

WHITESPACE: Final = "whitespace"
ISO, EPOCH, EPOCH_MS = "iso", "epoch", "epoch_ms"
_DIRECTIVES: Final = frozenset("aAbBcdfGHIjmMpSuUVwWxXyYzZ%")
"""What `datetime.strptime` knows."""


class Quoting(StrEnum):
    """What a double quote means."""

    STANDARD = "standard"
    """At a value's begin it opens a quoted value, in which two are one."""
    NONE = "none"
    """Itself."""


class DecimalMark(StrEnum):
    """Between a number's whole part and its decimals."""

    POINT = "point"
    COMMA = "comma"


class Ambiguous(StrEnum):
    """Which time is meant by one that a clock shows twice, as it is put back."""

    REFUSE = "refuse"
    EARLIER = "earlier"
    LATER = "later"


class Nonexistent(StrEnum):
    """Which time is meant by one that a clock doesn't show, as it is put forward."""

    REFUSE = "refuse"
    FORWARD = "forward"
    """Later by as much as the clock is put forward: what a clock meant that wasn't."""


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """How rows become events of `topic`.

    `columns` maps fields to column names, or to positions: "#1" is the first, and "1" too where the file has no
    `header`. `values` says what stands for the values of a mapped field, which has no others then; `constants` are
    fields with the same value in every row. Times are ``iso``, ``epoch``, ``epoch_ms`` or a `datetime.strptime` format,
    in the time zone `tz` where they name none, moved by `shift_days`. Integers are multiplied by `scale` before they
    must be whole: 100 makes cents of an amount with decimals.

    Raises:
        MappingError: a field is unknown, mapped twice or missing, or something can't be meant as it is written.
    """

    topic: str
    columns: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    delimiter: str = ","
    quoting: Quoting = Quoting.STANDARD
    time_format: str = ISO
    tz: str = "UTC"
    ambiguous: Ambiguous = Ambiguous.REFUSE
    nonexistent: Nonexistent = Nonexistent.REFUSE
    scale: Mapping[str, int] = field(default_factory=dict)
    decimal: DecimalMark = DecimalMark.POINT
    header: bool = True
    by_time: bool = True
    """Send in event-time order; else in the file's."""
    shift_days: int = 0

    def __post_init__(self) -> None:
        if problem := next(self._problems(), None):
            raise MappingError(problem)

    @property
    def contract(self) -> EventContract:
        return EVENTS[self.topic]

    def _problems(self) -> Iterator[str]:
        if self.topic not in EVENTS:
            yield f"unknown topic {self.topic!r}; known topics: {', '.join(EVENTS)}"
        yield from self._problems_of_fields()
        if self.delimiter != WHITESPACE and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            yield f"a delimiter is one character, no quote, or {WHITESPACE!r}, not {self.delimiter!r}"
        if self.time_format not in (ISO, EPOCH, EPOCH_MS):
            yield from _problems_of_format(self.time_format)
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # the last for Europe, which is a folder of zones
            yield f"unknown time zone {self.tz!r}; write it like Europe/Berlin"

    def _problems_of_fields(self) -> Iterator[str]:
        names = [f.name for f in self.contract.fields]
        if unknown := [n for n in (*self.columns, *self.constants, *self.scale, *self.values) if n not in names]:
            yield f"{self.topic} has no field {unknown[0]!r}; its fields: {', '.join(names)}"
        if twice := self.columns.keys() & self.constants.keys():
            yield f"{min(twice)} is both mapped to a column and set to a constant"
        given = {"event_id", *self.columns, *self.constants}
        if missing := [f.name for f in self.contract.fields if f.name not in given and not f.nullable]:
            yield f"{self.topic} needs {missing[0]}: say --map {missing[0]}=COLUMN or --set {missing[0]}=VALUE"
        if unmapped := self.values.keys() - self.columns.keys():
            yield f"{min(unmapped)} has --values and no column: say --map {min(unmapped)}=COLUMN"
        integers = [f.name for f in self.contract.fields if f.kind is Kind.INTEGER]
        if unscaled := self.scale.keys() - set(integers):
            yield f"{min(unscaled)} is no number to --scale; numbers are: {', '.join(integers) or 'none'}"


def _problems_of_format(text: str) -> Iterator[str]:
    """Where `datetime.strptime` would refuse every row, or read a part and say nothing of leaving it out."""
    used = re.findall(r"%(.?)", text)
    if unknown := [letter for letter in used if letter not in _DIRECTIVES]:
        yield f"the time format {text!r} has %{unknown[0]}, which nobody knows"
    if not {"Y", "y", "G", "c", "x"} & set(used):
        yield f"the time format {text!r} is none of {ISO}, {EPOCH}, {EPOCH_MS}, and has no year, like %d.%m.%Y %H:%M"
    if ("I" in used) != ("p" in used):
        yield f"the time format {text!r} has one of %I (hours to 12) and %p (AM, PM) without the other"
    if {"U", "W"} & set(used) and not ("Y" in used and {"a", "A", "u", "w"} & set(used)):
        yield f"the time format {text!r} has a week without %Y and a day of the week, like %Y-%W-%w"
