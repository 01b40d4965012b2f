"""An explanation as a page, with the form to ask for another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lakehouse.contracts.columns import Column, Type
from lakehouse.contracts.tables import TABLES
from lakehouse.explain.behind import EXPLAINED
from lakehouse.explain.explanation import Explanation, Status, counts
from lakehouse.plain import plain
from lakehouse.report.page import render_page

SHOWN_RECORDS: Final = 100
_TEMPLATES: Final = Path(__file__).parent / "templates"
_EXAMPLES: Final = {Type.TIMESTAMP: "2026-03-01T14:00 (UTC)", Type.DATE: "2026-03-01", Type.INTEGER: "0"}


@dataclass(frozen=True, slots=True)
class _Field:
    """A column of the key, as the form asks for it; text may be empty."""

    name: str
    example: str
    required: bool
    value: str


def render_explanation(
    name: str = "", values: Sequence[str] = (), found: Explanation | None = None, problem: str = ""
) -> str:
    """The page for the table `name` and the `values` of a key: what was `found` of it, or the `problem` with it.

    Without a table it asks for one, and without an explanation for the key.
    """
    return render_page(
        _TEMPLATES,
        "explain.html.j2",
        names=EXPLAINED,
        name=name,
        fields=_fields(name, values),
        problem=problem,
        e=found and _shown(found),
    )


def without_empty(name: str, values: Sequence[str]) -> list[str]:
    """`values` as a form sends them, for all of a key: without the empty ones at its end that stand for null."""
    kept = list(values)
    for column in reversed(_key_columns(name)[: len(values)]):
        if kept[-1] or not column.nullable:
            break
        kept.pop()
    return kept


def _fields(name: str, values: Sequence[str]) -> list[_Field]:
    given = [*values, *("" for _ in _key_columns(name))]
    return [
        _Field(column.name, _example(column), not column.nullable and column.type != Type.STRING, value)
        for column, value in zip(_key_columns(name), given, strict=False)
    ]


def _key_columns(name: str) -> list[Column]:
    """Nothing for a table that isn't explained."""
    if name not in EXPLAINED:
        return []
    columns = {column.name: column for column in TABLES[name].columns}
    return [columns[key] for key in TABLES[name].key]


def _example(column: Column) -> str:
    example = _EXAMPLES.get(column.type, "")
    return example if not column.nullable else f"{example} or empty".strip()


def _shown(found: Explanation) -> dict[str, Any]:
    """What the page tells: `Explanation.to_dict`, and what of the row was changed."""
    told = found.to_dict(SHOWN_RECORDS)
    before = found.changed and found.changed.before and plain(found.changed.before)
    return told | {
        "counted": found.of(Status.COUNTED).height,
        "left_out": {name: n for name, n in counts(found.records, "status").items() if name != Status.COUNTED},
        "total": found.records.height,
        "was": {name: before[name] for name, value in told["row"].items() if before[name] != value} if before else {},
    }
