"""The validity rule in Python; `connectors/` has it in Java, and `conformance.jsonl` holds both to it.

A record is tested in a fixed order and the first failure is its reason, so that both validators, on any
bytes, give the same verdict.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from lakehouse.contracts.events import (
    EARLIEST_TIME,
    EVENTS,
    LATEST_TIME,
    MAX_CLOCK_SKEW_MS,
    MAX_DEPTH,
    MAX_ID_BYTES,
    MAX_VALUE_BYTES,
    Field,
    Kind,
    bounded_by_arrival,
)
from lakehouse.contracts.times import parse_time


class Reason(StrEnum):
    """Why a record is invalid, in the order in which it is tested."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    KEY_MISMATCH = "key_mismatch"


Wire = str | int | None
"""A field's value: text, an integer, or a time in epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Valid:
    """`fields` holds every field of the contract, in its order; times are epoch milliseconds."""

    fields: dict[str, Wire]


@dataclass(frozen=True, slots=True)
class Invalid:
    """`field` is the field's name for `missing`, `wrong_type` and `out_of_range`, else None."""

    reason: Reason
    field: str | None = None


class UnknownTopicError(LookupError):
    """Asked for a topic that no contract declares."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"unknown topic {topic!r}; known topics: {', '.join(EVENTS)}")


_INT64: Final = 1 << 63
_NOT_INTEGER: Final = object()
"""Stands for a number written with fraction or exponent: no field takes one, so its value is not needed."""
_BOM: Final = b"\xef\xbb\xbf"
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
"""A string, up to the end where it isn't closed: so the scan stays linear on hostile text."""
_NOT_BRACKETS: Final = re.compile(r"[^\[\]{}]+")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_SURROGATE_ESCAPES: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # a lone one
    r"|\\.",
    re.DOTALL,
)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate name")
    return result


def _integer(text: str) -> int:
    # Anything longer than int64's longest is out of its range; Python's int() refuses 4300 digits and is slow before.
    return int(text) if len(text) <= 20 else _INT64


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=lambda _: _NOT_INTEGER,
    parse_constant=_no_constant,
)


def _too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _NOT_BRACKETS.sub("", _STRINGS.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _parse_object(text: str) -> dict[str, Any] | None:
    """The one JSON object that `text` is; None if it is anything else.

    The depth is tested first: within it the parser's recursion is bounded.
    """
    if _too_deep(text):
        return None
    try:
        parsed = _DECODER.decode(text)
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    # Decoded UTF-8 holds no surrogates, so only escapes can bring one in.
    if "\\u" in text and any(match[1] for match in _SURROGATE_ESCAPES.finditer(text)):
        return None
    return parsed


Check = Callable[[Any, int], "Wire | Reason"]
"""Turns a present, non-null value (with the arrival) into a field's value or the reason against it."""


def _check_id(value: Any, _arrival_ms: int) -> Wire | Reason:
    if type(value) is not str:
        return Reason.WRONG_TYPE
    if value.isascii():
        return value if 0 < len(value) <= MAX_ID_BYTES and value.isprintable() else Reason.OUT_OF_RANGE
    if len(value.encode()) > MAX_ID_BYTES or _CONTROL.search(value):
        return Reason.OUT_OF_RANGE
    return value


def _check_string(allowed: tuple[str, ...]) -> Check:
    def check(value: Any, _arrival_ms: int) -> Wire | Reason:
        if type(value) is not str:
            return Reason.WRONG_TYPE
        return Reason.OUT_OF_RANGE if allowed and value not in allowed else value

    return check


def _check_integer(minimum: int | None, maximum: int | None) -> Check:
    lowest = -_INT64 if minimum is None else minimum
    highest = _INT64 - 1 if maximum is None else maximum

    def check(value: Any, _arrival_ms: int) -> Wire | Reason:
        if type(value) is not int:  # bool is a subclass
            return Reason.WRONG_TYPE
        return value if lowest <= value <= highest else Reason.OUT_OF_RANGE

    return check


def _check_time(by_arrival: bool) -> Check:
    earliest, latest = parse_time(EARLIEST_TIME) or 0, parse_time(LATEST_TIME) or 0

    def check(value: Any, arrival_ms: int) -> Wire | Reason:
        moment = parse_time(value) if type(value) is str else None
        if moment is None:
            return Reason.WRONG_TYPE
        if not earliest <= moment <= latest or (by_arrival and moment > arrival_ms + MAX_CLOCK_SKEW_MS):
            return Reason.OUT_OF_RANGE
        return moment

    return check


def _check(field: Field) -> Check:
    match field.kind:
        case Kind.ID:
            return _check_id
        case Kind.STRING:
            return _check_string(field.allowed)
        case Kind.INTEGER:
            return _check_integer(field.minimum, field.maximum)
        case Kind.TIME:
            return _check_time(bounded_by_arrival(field))


@lru_cache
def _plan(topic: str) -> tuple[str, tuple[tuple[str, bool, Check], ...]]:
    contract = EVENTS.get(topic)
    if contract is None:
        raise UnknownTopicError(topic)
    return contract.key, tuple((f.name, f.nullable, _check(f)) for f in contract.fields)


_ABSENT: Final = object()


def validate_value(topic: str, value: bytes | None, arrival_ms: int) -> Valid | Invalid:
    """The verdict on a value alone, for data that have no record keys yet; `validate` judges whole records.

    Raises:
        UnknownTopicError: no contract declares the topic.
    """
    _, checks = _plan(topic)
    if value is None:
        return Invalid(Reason.NULL_VALUE)
    if len(value) > MAX_VALUE_BYTES:
        return Invalid(Reason.TOO_LARGE)
    if value.startswith(_BOM):
        return Invalid(Reason.NOT_UTF8)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return Invalid(Reason.NOT_UTF8)
    parsed = _parse_object(text)
    if parsed is None:
        return Invalid(Reason.NOT_JSON)
    fields: dict[str, Wire] = {}
    for name, nullable, check in checks:
        found = parsed.get(name, _ABSENT)
        if found is None or found is _ABSENT:
            if not nullable:
                return Invalid(Reason.MISSING if found is _ABSENT else Reason.WRONG_TYPE, name)
            fields[name] = None
            continue
        result = check(found, arrival_ms)
        if type(result) is Reason:
            return Invalid(result, name)
        fields[name] = result
    return Valid(fields)


def validate(topic: str, key: bytes | None, value: bytes | None, arrival_ms: int) -> Valid | Invalid:
    """The verdict on one record. `topic` is without namespace, `arrival_ms` the record's time in epoch milliseconds.

    Raises:
        UnknownTopicError: no contract declares the topic.
    """
    verdict = validate_value(topic, value, arrival_ms)
    if isinstance(verdict, Valid):
        expected = verdict.fields[_plan(topic)[0]]
        if key is None or not isinstance(expected, str) or key != expected.encode():
            return Invalid(Reason.KEY_MISMATCH)
    return verdict
