"""What a swap would change: the recomputed rows against those that are there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import isfinite
from typing import Any, Final

import polars as pl

from lakehouse.contracts.tables import table
from lakehouse.escaping import escaped
from lakehouse.plain import plain

EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One row that differs: `before` is None for a row that appears, `after` for one that goes."""

    key: dict[str, Any]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class TableDiff:
    """`columns`: of the changed rows, how many differ in each column. `version`: that of the table compared with."""

    table: str
    version: int
    days: tuple[date, ...]
    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    columns: dict[str, int]
    examples: tuple[Example, ...]

    @property
    def equal(self) -> bool:
        return not (self.added or self.removed or self.changed)

    def to_json(self) -> dict[str, Any]:
        """As `json.dumps` takes it and PostgreSQL keeps it."""
        examples = [{part: row and _kept(row) for part, row in asdict(each).items()} for each in self.examples]
        return asdict(self) | {"days": [day.isoformat() for day in self.days], "examples": examples}


def compare(name: str, version: int, days: Sequence[date], before: pl.DataFrame, after: pl.DataFrame) -> TableDiff:
    """Both frames by the contract of `name`, `before` being its rows at `version`. Compared are the columns that
    comparisons with the reference compare; a key that is there twice counts as added or removed once more."""
    contract = table(name)
    key = list(contract.key)
    columns = [column for column in contract.compared_columns if column not in key]
    counted = [pl.int_range(pl.len()).over(key).alias("_copy")]
    before, after = (frame.select(*key, *columns).sort(pl.all()).with_columns(counted) for frame in (before, after))
    identity = [*key, "_copy"]
    removed = before.join(after, identity, "anti", nulls_equal=True)
    added = after.join(before, identity, "anti", nulls_equal=True)
    both = before.join(after, identity, "inner", suffix="_after", nulls_equal=True)
    differs = {column: pl.col(column).ne_missing(pl.col(f"{column}_after")) for column in columns}
    changed = both.filter(pl.any_horizontal(differs.values())) if differs else both.clear()
    by_column = changed.select(**{c: d.sum() for c, d in differs.items()}).row(0, named=True) if changed.height else {}
    examples = [
        *(Example(_part(row, key), _part(row, columns), None) for row in removed.head(EXAMPLES).to_dicts()),
        *(Example(_part(row, key), None, _part(row, columns)) for row in added.head(EXAMPLES).to_dicts()),
        *(
            Example(_part(row, key), _part(row, columns), {c: row[f"{c}_after"] for c in columns})
            for row in changed.head(EXAMPLES).to_dicts()
        ),
    ]
    return TableDiff(
        name,
        version,
        tuple(days),
        before.height,
        after.height,
        added.height,
        removed.height,
        changed.height,
        {column: count for column, count in by_column.items() if count},
        tuple(examples),
    )


def _part(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {column: row[column] for column in columns}


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """A row for `json.dumps` and `jsonb`, which has neither U+0000 nor what is no finite number."""
    return {name: _kept_value(value) for name, value in plain(row).items()}


def _kept_value(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    return str(value) if isinstance(value, float) and not isfinite(value) else value
