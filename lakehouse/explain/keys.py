"""A row's key, as a person writes it on the command line, and what to say where it names no row."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, cast

import polars as pl

from lakehouse.contracts.columns import Column, TableContract, Type
from lakehouse.shell import arguments, quoted

Key = Mapping[str, Any]
_NEAREST: Final = 3


class BadKeyError(ValueError):
    """The values don't make a key of the table."""

    def __init__(self, contract: TableContract, reason: str) -> None:
        names = " ".join(name.upper() for name in contract.key)
        super().__init__(
            f"{reason}. The key of {contract.name} is: {names}, with times like 2026-03-01T14:00 (UTC unless they say "
            f"otherwise) and days like 2026-03-01"
        )


class NoSuchRowError(LookupError):
    """The table has no row of this key; the message names those that are near."""

    def __init__(self, contract: TableContract, key: Key, near: Sequence[Key]) -> None:
        others = "; it has: " + "; ".join(map(as_pasted, near)) if near else ""
        super().__init__(
            f"{contract.name} has no row {as_pasted(key)}{others}. A row is there if it has at least one event; "
            f"`lakehouse table read {contract.name}` shows rows"
        )


def parse_key(contract: TableContract, values: Sequence[str]) -> dict[str, Any]:
    """The values by key column, in the contract's order; those that may be null can be left out at the end.

    Raises BadKeyError: too few or too many, or one that is not of its column's type.
    """
    columns = [next(c for c in contract.columns if c.name == name) for name in contract.key]
    needed = max(n for n, column in enumerate(columns, 1) if not column.nullable)
    if not needed <= len(values) <= len(columns):
        raise BadKeyError(contract, f"{len(values)} values instead of {len(columns)}")
    given = {c.name: _parse(contract, c, v) for c, v in zip(columns, values, strict=False)}
    return {column.name: given.get(column.name) for column in columns}


def _parse(contract: TableContract, column: Column, value: str) -> Any:
    try:
        match column.type:
            case Type.TIMESTAMP:
                moment = datetime.fromisoformat(value)
                return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
            case Type.DATE:
                return date.fromisoformat(value)
            case Type.INTEGER | Type.LONG:
                return int(value)
            case _:
                return value
    except (ValueError, OverflowError):
        raise BadKeyError(contract, f"{column.name} {value!r} is no {column.type}") from None


def where_key(contract: TableContract, key: Key) -> pl.Expr:
    """The condition for the row of this key, with its day where the key tells it: other days' files are not read."""
    same = [
        pl.col(name).eq_missing(pl.lit(value)) if value is None else pl.col(name) == value
        for name, value in key.items()
    ]
    return pl.all_horizontal(*same, *_day(contract, key))


def _day(contract: TableContract, key: Key) -> list[pl.Expr]:
    """Rows lie on the day of their own time; an alert's window begins on it."""
    if "event_date" in key or (day := day_of(contract, key)) is None:
        return []
    return [pl.col("event_date") == day]


def day_of(contract: TableContract, key: Key) -> date | None:
    """The event date of the row of this key; None where the table has no days, or the key doesn't tell it."""
    if contract.day != "event_date":
        return None
    if "event_date" in key:
        return cast(date, key["event_date"])
    time = next((key[n] for n in ("event_time", "window_start", "session_start") if key.get(n) is not None), None)
    return None if time is None else cast(datetime, time).date()


def nearest(contract: TableContract, rows: pl.LazyFrame, key: Key) -> list[dict[str, Any]]:
    """Keys of the same text (product, user, region), those nearest in time first."""
    texts = [n for n, value in key.items() if isinstance(value, str) and n != "event_id"]
    times = [n for n, value in key.items() if isinstance(value, date)]
    alike = rows.filter(*(pl.col(n) == key[n] for n in texts)).select(contract.key)
    if times:
        away = (pl.col(times[-1]) - pl.lit(key[times[-1]])).abs()
        alike = alike.sort(away, *contract.key, nulls_last=True)
    return alike.head(_NEAREST).collect().to_dicts() if texts or times else []


def as_typed(key: Key) -> str:
    """``p42 2026-03-01T14:00``: as a shell splits it for `parse_key`."""
    return " ".join(map(quoted, _words(key)))


def as_pasted(key: Key) -> str:
    """The same behind a command; ``-- -42 2026-03-01T14:00`` where a value begins with a dash."""
    return arguments(_words(key))


def from_typed(contract: TableContract, text: str) -> dict[str, Any]:
    """The key that `as_typed` wrote. Raises BadKeyError."""
    return parse_key(contract, shlex.split(text))


def _words(key: Key) -> list[str]:
    return [_text(value) for value in key.values() if value is not None]


def _text(value: Any) -> str:
    if not isinstance(value, datetime):
        return str(value)
    spec = "minutes" if not (value.second or value.microsecond) else "auto"
    text = value.replace(tzinfo=None).isoformat(timespec=spec)
    return text.rstrip("0") if "." in text else text
