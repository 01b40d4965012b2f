"""Two frames of one table compared, row for row and column for column."""

from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from operator import or_
from typing import Any, Final

import polars as pl

EXAMPLES: Final = 3
"""So many rows of each kind of difference are shown."""
NAMED: Final = 20
"""So many rows without a sum are named."""


@dataclass(frozen=True, slots=True)
class TableComparison:
    """A table (at a version of it) against the reference.

    `missing` rows are only in the reference, `unexpected` only in the table (of a key that has several rows,
    all but one), `different` in both with unlike values. `aside`: rows of the reference without a sum of money, as it
    fits no 64 bits (`aside_named`: some of their keys): such a row is equal to one that has none either.
    """

    table: str
    version: int | None
    rows_compared: int
    missing: int = 0
    unexpected: int = 0
    different: int = 0
    examples: tuple[str, ...] = field(default=())
    aside: int = 0
    aside_named: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Rows were compared, and all are equal: nothing compared proves nothing."""
        return self.rows_compared > 0 and not (self.missing or self.unexpected or self.different)

    def __add__(self, other: "TableComparison") -> "TableComparison":
        """Both slices of one table together."""
        return TableComparison(
            self.table,
            self.version,
            self.rows_compared + other.rows_compared,
            self.missing + other.missing,
            self.unexpected + other.unexpected,
            self.different + other.different,
            (self.examples + other.examples)[: 3 * EXAMPLES],
            self.aside + other.aside,
            (self.aside_named + other.aside_named)[:NAMED],
        )


def compare_frames(
    name: str,
    version: int | None,
    expected: pl.DataFrame,
    actual: pl.DataFrame,
    key: tuple[str, ...],
    money: tuple[str, ...] = (),
) -> TableComparison:
    """Compares the columns of `expected` exactly: null equals null alone, and types must be the same.

    `expected` has each key once. `money`: those of its columns that are null where a sum doesn't fit.
    """
    actual = actual.select(expected.columns)
    if actual.schema != expected.schema:
        unlike = [f"{c}: {actual.schema[c]} for {t}" for c, t in expected.schema.items() if actual.schema[c] != t]
        raise TypeError(f"{name} has other column types than its contract: {', '.join(unlike)}")
    values = [c for c in expected.columns if c not in key]
    first_of_key = pl.struct(key).is_first_distinct()
    surplus = actual.filter(~first_of_key)
    distinct = actual.filter(first_of_key) if surplus.height else actual
    missing = expected.join(distinct, on=key, how="anti", nulls_equal=True)
    unexpected = distinct.join(expected, on=key, how="anti", nulls_equal=True)
    both = expected.join(distinct, on=key, how="inner", nulls_equal=True, suffix=_ACTUAL)
    unlike_values = [pl.col(c).ne_missing(pl.col(c + _ACTUAL)) for c in values]
    different = both.filter(reduce(or_, unlike_values)) if values else both.clear()
    examples = (
        *(f"missing: {_show(row, key)}" for row in missing.head(EXAMPLES).to_dicts()),
        *(f"unexpected: {_show(row, key)}" for row in unexpected.head(EXAMPLES).to_dicts()),
        *(f"one key twice: {_show(row, key)}" for row in surplus.head(EXAMPLES).to_dicts()),
        *(_show_difference(row, key, values) for row in different.head(EXAMPLES).to_dicts()),
    )
    aside = expected.filter(pl.any_horizontal(pl.col(*money).is_null())) if money else expected.clear()
    return TableComparison(
        name,
        version,
        both.height,
        missing.height,
        unexpected.height + surplus.height,
        different.height,
        examples,
        aside.height,
        tuple(_show(row, key) for row in aside.select(key).sort(key).head(NAMED).to_dicts()),
    )


_ACTUAL: Final = ":in_table"


def _show_difference(row: dict[str, Any], key: tuple[str, ...], values: list[str]) -> str:
    unlike = [c for c in values if row[c] != row[c + _ACTUAL]]
    changes = ", ".join(f"{c} is {_cut(row[c + _ACTUAL])}, must be {_cut(row[c])}" for c in unlike)
    return f"different: {_show({k: row[k] for k in key}, key)}: {changes}"


def _show(row: dict[str, Any], key: tuple[str, ...]) -> str:
    return ", ".join(f"{name}={_text(value) if name in key else _cut(value)}" for name, value in row.items())


def _cut(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _text(value: Any) -> str:
    """As a shell reads it, and strings in quotes, which tell them from null and numbers."""
    match value:
        case str():
            return "'" + value.replace("'", "'\"'\"'") + "'"
        case date():
            return value.isoformat()
        case bytes():
            return repr(value)
        case _:
            return str(value)
