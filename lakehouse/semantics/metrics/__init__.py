"""The rooms of the metrics: a folder for each table that is computed from others, and all that is said of it.

- `spec.py`: `CONTRACT`, the table; `SCOPE`, what an event affects and what rows need; `RULE`, its numbers, if any;
  `FOLLOWED`, by table, how rows there affect it, where that doesn't follow from keys and times alone; `TOTALS`, for
  rows without a time, what they add up.
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
from lakehouse.contracts.events import EVENTS
from lakehouse.semantics.rules import Rule
from lakehouse.semantics.scopes import Followed, IntervalAround, Key, MetricScope, NaturalSession, Scope, Totals

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Room:
    """What `spec.py` declares."""

    contract: TableContract
    scope: MetricScope
    rule: Rule | None
    declared: Mapping[str, Scope]
    totals: Totals | None = None

    @property
    def follows(self) -> Mapping[str, Followed]:
        """By table that it is computed from. Of events the scope says how; of rows that add events up, what they have
        in common with its key: they go into the rows that have the same."""
        return {source: self._followed(source) for source in self.contract.reads}

    def _followed(self, source: str) -> Followed:
        event = EVENTS.get(f"shop.{source.split('.')[1]}")
        if event is not None and event.topic in self.scope.affected:
            moment = "valid_from" if event.changelog else "event_time"
            only = self.scope.only.get(event.topic, {})
            return Followed(self.scope.affected[event.topic], self.scope.needs[event.topic], moment, only)
        time, columns = self.scope.row_time, ROOMS[source].contract.column_names
        if source in self.declared:
            return Followed(self.declared[source], self.declared[source], ROOMS[source].scope.row_time)
        key = tuple(column for column in self.contract.key if column in columns and column != time)
        scope = IntervalAround(0, 0, key) if time in columns else Key(key)
        return Followed(scope, scope, time if time in columns else None)

    @property
    def cut_by(self) -> str:
        """The column in the order of which its files are cut: its rows' time, of sessions their last, else its key."""
        for scope in self.scope.affected.values():
            if isinstance(scope, NaturalSession):
                return scope.extent[1]
        return self.scope.row_time or self.contract.key[0]

    @property
    def folder(self) -> Path:
        return FOLDER / self.contract.name.split(".")[1]

    def module(self, name: str) -> Any:
        """One of its modules."""
        return import_module(f"{__name__}.{self.folder.name}.{name}")


def _found() -> dict[str, Room]:
    names = sorted(path.parent.name for path in FOLDER.glob("*/spec.py"))
    specs = [vars(import_module(f"{__name__}.{name}.spec")) for name in names]
    rooms = {
        spec["CONTRACT"].name: Room(
            spec["CONTRACT"], spec["SCOPE"], spec.get("RULE"), spec.get("FOLLOWED", {}), spec.get("TOTALS")
        )
        for spec in specs
    }
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
