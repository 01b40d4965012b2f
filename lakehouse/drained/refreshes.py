"""From which silver version each refreshed table was computed, by what its commits say of themselves."""

from collections.abc import Iterator, Mapping
from typing import Final

from lakehouse.contracts.graph import DERIVED, REFRESHED
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.describe import Commit, newest_first, versions_read
from lakehouse.settings import Settings

_MAINTENANCE: Final = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD COLUMN")
"""Operations that move the version and not the data."""


def outdated(settings: Settings) -> dict[str, str]:
    """By table, what it has not read yet: ``silver.clicks 7 of 9``. Empty when every refresh is done.

    Raises:
        ServiceDownError: MinIO does not answer.
    """
    newest: dict[str, int] = {}
    behind = {}
    for name in REFRESHED:
        late = []
        for source, version in _read(settings, name).items():
            if source in DERIVED:
                if source not in newest:
                    newest[source] = _data_version(settings, source)
                if version < newest[source]:
                    late.append(f"{source} {version} of {newest[source]}")
        if late:
            behind[name] = ", ".join(late)
    return behind


def _read(settings: Settings, name: str) -> Mapping[str, int]:
    """The versions of its sources; none for a table that is not written yet."""
    try:
        return versions_read(open_table(settings, name))
    except TableMissingError:
        return {}


def _data_version(settings: Settings, name: str) -> int:
    """The newest version that changed data; -1 for a table that is not written yet."""
    for commit in _history(settings, name):
        if commit.operation not in _MAINTENANCE:
            return commit.version
    return -1


def _history(settings: Settings, name: str) -> Iterator[Commit]:
    try:
        opened = open_table(settings, name)
    except TableMissingError:
        return iter(())
    return newest_first(opened)
