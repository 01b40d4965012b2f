"""The rooms of the metrics: a folder for each table that is computed from others, and all that is said of it.

- `spec.py`: `CONTRACT`, the table; `SCOPE`, what an event affects and what rows need; `RULE`, its numbers, if any.
- `reference.py`: `compute`, what the rows are, in pure Python, for comparisons alone.
- `refresh.sql`: the rows, less `changed_by`, in SQL that Spark and DataFusion run (`lakehouse.semantics.dialects`). It
  names the tables that it reads in braces, ``{silver_clicks}`` is silver.clicks, and its rule's numbers by ``$gap_ms``.
- `cases.yaml`: literal events and the rows that follow.

An engine chooses what it gives to the SQL, as long as that holds all that the scope says that the rows need. A room is
found by being there: no list names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from string import Template
from typing import Any, Final

from lakehouse.contracts.columns import TableContract
from lakehouse.semantics.rules import Rule
from lakehouse.semantics.scopes import MetricScope

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Room:
    """What `spec.py` declares."""

    contract: TableContract
    scope: MetricScope
    rule: Rule | None

    @property
    def folder(self) -> Path:
        return FOLDER / self.contract.name.split(".")[1]

    def module(self, name: str) -> Any:
        """One of its modules."""
        return import_module(f"{__name__}.{self.folder.name}.{name}")


def _found() -> dict[str, Room]:
    names = sorted(path.parent.name for path in FOLDER.glob("*/spec.py"))
    specs = [import_module(f"{__name__}.{name}.spec") for name in names]
    rooms = {spec.CONTRACT.name: Room(spec.CONTRACT, spec.SCOPE, getattr(spec, "RULE", None)) for spec in specs}
    order = TopologicalSorter({name: room.contract.reads for name, room in rooms.items()}).static_order()
    layers = ("silver", "gold", "marts")
    by_layer = sorted(filter(rooms.__contains__, order), key=lambda name: layers.index(name.split(".")[0]))
    return {name: rooms[name] for name in by_layer}


ROOMS: Final[Mapping[str, Room]] = _found()
"""By table, each after those that it is computed from."""

SCOPES: Final[Mapping[str, MetricScope]] = {name: room.scope for name, room in ROOMS.items()}
"""Scopes by table."""


@cache
def refresh_sql(name: str) -> str:
    """The SQL of the table `name` (``layer.table``), in the common dialect.

    Raises:
        LookupError: there is none.
    """
    path = ROOMS[name].folder / "refresh.sql" if name in ROOMS else None
    if path is None or not path.is_file():
        raise LookupError(f"{name} has no refresh.sql")
    rule = ROOMS[name].rule
    return Template(path.read_text(encoding="utf-8")).substitute(rule.numbers() if rule else {})


def placeholder(source: str) -> str:
    """How SQL names a table: ``silver_clicks`` is silver.clicks."""
    return source.replace(".", "_")
