"""What a data file says of its columns in the log, so that readers skip it: written by whoever commits its own files.

Counts of rows and nulls of all columns; least and greatest values of times (whole milliseconds), dates, integers and
strings. Nothing of decimals, doubles and binaries, which nobody skips by: Spark and delta-rs write some differently.
"""

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

import polars as pl

from lakehouse.contracts.columns import TableContract, Type

LONGEST: Final = 32
"""Characters of a string that are kept; a greatest value that is cut is rounded up."""

_BOUNDED: Final = (Type.STRING, Type.INTEGER, Type.LONG, Type.DATE, Type.TIMESTAMP)
_LAST: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)


Shorten = Callable[[str], str | None]


def statistics(contract: TableContract, rows: pl.DataFrame) -> str:
    """The statistics of a file that holds `rows`, columns of the table by its contract, as the log has them."""
    bounded = [c.name for c in contract.columns if c.type in _BOUNDED and c.name not in contract.partition_by]
    stored = [c for c in contract.column_names if c not in contract.partition_by]
    least, greatest = rows.select(pl.col(bounded).min()), rows.select(pl.col(bounded).max())
    return json.dumps(
        {
            "numRecords": rows.height,
            "minValues": _said(least, _cut),
            "maxValues": _said(greatest, _rounded_up),
            "nullCount": {name: rows[name].null_count() for name in stored},
        },
        ensure_ascii=False,
    )


def _said(bounds: pl.DataFrame, shorten: Shorten) -> dict[str, Any]:
    values = {name: _plain(value, shorten) for name, value in bounds.row(0, named=True).items()}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any, shorten: Shorten) -> Any:
    match value:
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
        case date():
            return value.isoformat()
        case str():
            return shorten(value)
    return value


def _cut(text: str) -> str:
    return text[:LONGEST]


def _rounded_up(text: str) -> str | None:
    """The least string of at most `LONGEST` characters, in the order of UTF-8, that is no less; None where there is
    none."""
    if len(text) <= LONGEST:
        return text
    kept = text[:LONGEST]
    while kept:
        # Code points are in the order of their UTF-8; surrogates are no characters.
        following = ord(kept[-1]) + 1
        following = _SURROGATES.stop if following in _SURROGATES else following
        if following <= _LAST:
            return kept[:-1] + chr(following)
        kept = kept[:-1]
    return None
