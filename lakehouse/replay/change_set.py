"""What a replay hands to the owner of its tables."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pydantic import TypeAdapter

from lakehouse.contracts.tables import table

ATTEMPTS: Final = 3
"""How often a change set is tried before it is refused: one that always fails would keep what it waits for."""


@dataclass(frozen=True, slots=True)
class Part:
    """Of `table`: the rows of `days` (none: all rows) are to be those of the Delta table at `path`, at `version`."""

    table: str
    path: str
    version: int
    days: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """As `lakehouse.runtime.code_in_force` names versions, and the directory that holds this one."""

    version: str
    path: str


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """`label`: what the commits say of themselves, and why. `silver`: the versions that the rows were computed from;
    what silver has gained since is refreshed after the swap. `bounds`: by topic and partition, the highest offset of
    the scope's days in that silver; rows of silver beyond them are younger than the replay, and stay. `contracts`: as
    `contracts_of`. `code`: with which its owner is to swap it in and to go on; None: with what it runs.
    """

    label: str
    parts: tuple[Part, ...]
    silver: dict[str, int]
    bounds: dict[str, dict[int, int]]
    contracts: str
    code: Code | None = None

    @property
    def outdated(self) -> str | None:
        """Why it can't be applied any more, if so."""
        if contracts_of(part.table for part in self.parts) == self.contracts:
            return None
        return "the contracts of its tables have changed since it was computed: plan the replay again"

    def to_json(self) -> dict[str, Any]:
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return dumped

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ChangeSet":
        return _ADAPTER.validate_python(content)


_ADAPTER: Final = TypeAdapter(ChangeSet)


def contracts_of(names: Iterable[str]) -> str:
    """Names the columns that tables have by their contracts today."""
    return hashlib.sha256(repr([(name, table(name).columns) for name in sorted(names)]).encode()).hexdigest()[:16]
