"""Which commit last changed a row, and why."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
from deltalake import DeltaTable

from lakehouse.delta import VersionMissingError, open_table, scan_opened
from lakehouse.delta.describe import Commit, newest_first
from lakehouse.explain.explanation import Change
from lakehouse.settings import Settings

Row = Mapping[str, Any]
_GONE: Final[list[dict[str, Any]]] = []
"""What stands for the rows of a version that is no longer kept; told apart by identity."""


class RowHistory:
    """The row for which `where` holds, at the versions of its table that are kept."""

    def __init__(self, settings: Settings, name: str, newest: DeltaTable, where: pl.Expr) -> None:
        self._settings = settings
        self._name = name
        self._newest = newest
        self._where = where
        self._rows: dict[int, list[dict[str, Any]]] = {}

    def at(self, version: int) -> list[dict[str, Any]]:
        if version not in self._rows:
            try:
                opened = open_table(self._settings, self._name, version)
                rows = scan_opened(self._settings, self._name, opened).filter(self._where)
                self._rows[version] = rows.collect().to_dicts()
            except (VersionMissingError, OSError):  # the log was cleaned, or a file was removed
                self._rows[version] = _GONE
        return self._rows[version]

    def last_change(self) -> Change | None:
        """The commit since which the row is as it is; None if that one is no longer kept.

        By steps that double and then halve: of a thousand versions, twenty are looked at. A row that was otherwise
        between two versions looked at, and then the same again, is taken for unchanged: only a restored table has one.
        """
        last = int(self._newest.version())
        row = self.at(last)
        same, other, step = last, -1, 1
        while same - step > other:
            if self.at(same - step) == row and self._kept(same - step):
                same, step = same - step, step * 2
            else:
                other = same - step
        while same - other > 1:
            middle = (same + other) // 2
            if self._kept(middle) and self.at(middle) == row:
                same = middle
            else:
                other = middle
        if other >= 0 and not self._kept(other):
            return None
        commit = next((c for c in newest_first(self._newest) if c.version == same), None)
        if commit is None:
            return None
        before = self.at(other) if other >= 0 else []
        return Change(
            same, commit.at, reason(commit), commit.note.content if commit.note else {}, before[0] if before else None
        )

    def _kept(self, version: int) -> bool:
        return self.at(version) is not _GONE


def reason(commit: Commit) -> str:
    """In words, what its writer said in it."""
    return str(commit.note or f"{commit.operation.lower() or 'commit'} that says nothing of itself")
