"""Values as JSON takes them, so that every reader gets what was written.

Times become ISO 8601 and bytes text (what is no UTF-8 as ``\\xff``). Most readers of JSON keep numbers as doubles,
which are exact up to 2**53: hashes and fingerprints are always written as text, and so is any other integer beyond.
"""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, BinaryIO, Final

import polars as pl

EXACT: Final = 2**53 - 1
"""The highest integer that a double tells from its neighbours."""
_HASHES: Final = ("_hash", "hash_sum", "fingerprint")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row, by column, for `json.dumps`."""
    return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Any) -> Any:
    match value:
        case date():  # a datetime is one
            return value.isoformat().replace("+00:00", "Z")
        case bytes():
            return value.decode("utf-8", "backslashreplace")
        case Decimal():
            return str(value)
        case bool():
            return value
        case int() if name.endswith(_HASHES) or abs(value) > EXACT:
            return str(value)
        case _:
            return value


def plain_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """The same of a frame, but for integers that are no hashes: a column has one type (see `write_json_lines`)."""
    return frame.with_columns(
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
        if isinstance(dtype, pl.Datetime)
        else pl.col(name).map_elements(lambda value: value.decode("utf-8", "backslashreplace"), pl.String)
        if isinstance(dtype, pl.Binary)
        else pl.col(name).cast(pl.String)
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.Datetime | pl.Binary | pl.Decimal) or (name.endswith(_HASHES) and dtype.is_integer())
    )


def write_json_lines(frame: pl.DataFrame, target: BinaryIO) -> None:
    """A line of JSON for each row. Only where an integer needs it, and that is seldom, lines are written one by one."""
    rows = plain_frame(frame)
    integers = [name for name, dtype in rows.schema.items() if dtype.is_integer()]
    if not integers or rows.filter(pl.any_horizontal(~pl.col(integers).is_between(-EXACT, EXACT))).is_empty():
        rows.write_ndjson(target)
        return
    for row in rows.iter_rows(named=True):
        target.write(json.dumps(plain(row), ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
