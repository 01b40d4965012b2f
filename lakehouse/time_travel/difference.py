"""Two looks at a mart's day compared: which rows differ, in which columns, and what made the difference."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final

import polars as pl

from lakehouse.contracts.tables import table
from lakehouse.plain import plain
from lakehouse.settings import Settings
from lakehouse.time_travel.causes import SourceCommit, commits_between, events_between
from lakehouse.time_travel.look import Look

_THEN: Final = ":then"


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that is there at both looks: the values that differ, by column."""

    key: Mapping[str, Any]
    then: Mapping[str, Any]
    now: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of a mart's day between the looks `then` and `now`.

    `commits`: what changed the sources meanwhile. `events`: those that silver gained or lost, by `EVENTS_BETWEEN`, of
    the rows that differ.
    """

    then: Look
    now: Look
    added: pl.DataFrame
    removed: pl.DataFrame
    changed: tuple[RowChange, ...]
    commits: tuple[SourceCommit, ...]
    events: pl.DataFrame

    @property
    def equal(self) -> bool:
        return not (self.added.height or self.removed.height or self.changed)

    @property
    def changed_columns(self) -> dict[str, int]:
        """In how many rows each column changed."""
        return dict(Counter(column for row in self.changed for column in row.now))

    @property
    def lateness(self) -> dict[str, dict[str, int]]:
        """How many events are new, and how many gone, by their lateness."""
        counted: dict[str, dict[str, int]] = {}
        for change, lateness, count in self.events.group_by("change", "lateness", maintain_order=True).len().rows():
            counted.setdefault(change, {})[lateness] = count
        return counted

    def to_dict(self, limit: int | None = None) -> dict[str, Any]:
        """For JSON; `limit` events at most."""
        return {
            "mart": self.now.mart,
            "day": self.now.day.isoformat(),
            "as_of": self.then.at.isoformat(),
            "now": self.now.at.isoformat(),
            "equal": self.equal,
            "versions": {
                name: {"then": self.then.versions[name], "now": version} for name, version in self.now.versions.items()
            },
            "rows": {"then": self.then.rows.height, "now": self.now.rows.height},
            "added": [plain(row) for row in self.added.to_dicts()],
            "removed": [plain(row) for row in self.removed.to_dicts()],
            "changed": [
                {"key": plain(row.key), "then": plain(row.then), "now": plain(row.now)} for row in self.changed
            ],
            "changed_columns": self.changed_columns,
            "commits": [
                {"table": c.table, "version": c.version, "at": c.at.isoformat(), "why": c.why} for c in self.commits
            ],
            "lateness": self.lateness,
            "events": [plain(event) for event in self.events.head(limit or self.events.height).to_dicts()],
        }


def difference(settings: Settings, then: Look, now: Look) -> Difference:
    """Compares two looks at the same day of the same mart, the earlier one first, and finds what made the difference.

    Raises what `lakehouse.delta.open_table` raises.
    """
    key = list(table(now.mart).key)
    added = now.rows.join(then.rows, on=key, how="anti").sort(key)
    removed = then.rows.join(now.rows, on=key, how="anti").sort(key)
    unlike = _unlike(then.rows, now.rows, key)
    differing = pl.concat([frame.select(key) for frame in (added, removed, unlike)])
    return Difference(
        then,
        now,
        added,
        removed,
        tuple(_changes(unlike, key)),
        tuple(commits_between(settings, then, now)),
        events_between(settings, then, now, differing),
    )


def _unlike(then: pl.DataFrame, now: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """The rows of both whose values differ, with those of `then` beside those of now."""
    both = now.join(then, on=key, how="inner", suffix=_THEN)
    return both.filter(
        reduce(or_, (pl.col(name).ne_missing(pl.col(name + _THEN)) for name in now.columns if name not in key))
    ).sort(key)


def _changes(unlike: pl.DataFrame, key: list[str]) -> Iterator[RowChange]:
    columns = [name for name in unlike.columns if name not in key and not name.endswith(_THEN)]
    for row in unlike.to_dicts():
        differ = [name for name in columns if row[name + _THEN] != row[name]]
        then, now = {name: row[name + _THEN] for name in differ}, {name: row[name] for name in differ}
        yield RowChange({name: row[name] for name in key}, then, now)
