"""The metrics' literal cases, as their rooms have them: events given, rows expected.

An event is its kind with its user (a product, of a version) and `at`, which is ``HH:MM[:SS[.mmm]]`` on the day that
literal times mean; hours above 23 lie on later days. The rest is by default what `tests.strategies` has. With `times`
it is so many events, each `every` after the one before, with numbers after their `id`. Expected rows are in the order
of the table's key, and the columns are compared that are listed; `only`: of rows with these values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from lakehouse.contracts.columns import Type
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import table
from lakehouse.semantics import Event
from lakehouse.semantics.metrics import ROOMS
from tests.strategies import at, click, impression, product, profile, purchase, transaction

_KINDS: Final = {
    "click": click,
    "impression": impression,
    "purchase": purchase,
    "transaction": transaction,
    "profile": profile,
    "product": product,  # the last: other kinds name a product too
}


@dataclass(frozen=True, slots=True)
class Case:
    """`given` in the order of the log; times of `expected` in milliseconds."""

    table: str
    name: str
    given: tuple[Event, ...]
    only: dict[str, Any]
    expected: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        return f"{self.table}: {self.name}"

    def seen(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of a table's rows, by key, what is compared with `expected`: the listed columns, row by row."""
        chosen = [row for row in rows if all(row[column] == value for column, value in self.only.items())]
        listed = [*self.expected, *({} for _ in chosen[len(self.expected) :])]
        return [{c: row[c] for c in wanted or row} for row, wanted in zip(chosen, listed, strict=False)]


def cases(*names: str) -> Iterator[Case]:
    """Those of these tables; by default of all."""
    for name in names or DERIVED:
        path = ROOMS[name].folder / "cases.yaml"
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            given = tuple(event for each in case["given"] for event in _events(dict(each)))
            expected = tuple(_row(name, row) for row in case["expected"])
            yield Case(name, case["name"], given, case.get("only", {}), expected)


def _events(said: dict[str, Any]) -> Iterator[Event]:
    kind = next(kind for kind in _KINDS if kind in said)
    subject, first, event_id = said.pop(kind), at(said.pop("at")), said.pop("id", None)
    count, step = said.pop("times", None), at(said.pop("every", "0:00")) - at("0:00")
    for n in range(count or 1):
        numbered = f"{event_id}{n + 1:02}" if event_id and count else event_id
        event = _KINDS[kind](subject, first + n * step, **said)  # type: ignore[operator]
        yield event._replace(event_id=numbered) if numbered else event


def _row(name: str, said: dict[str, Any]) -> dict[str, Any]:
    times = {c.name for c in table(name).columns if c.type is Type.TIMESTAMP}
    return {column: at(value) if column in times and value is not None else value for column, value in said.items()}
