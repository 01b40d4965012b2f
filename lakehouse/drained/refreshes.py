"""From which silver version each refreshed table was computed, by what its commits say of themselves."""

from collections.abc import Iterator, Mapping
from typing import Final

from lakehouse.contracts.tables import SPARK_INGEST, TABLES
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.describe import Commit, newest_first, versions_read
from lakehouse.settings import Settings

REFRESHED: Final = tuple(
    t.name for t in TABLES.values() if t.owner == SPARK_INGEST and t.layer in ("silver", "gold") and not t.insert_only
)
"""Tables that are recomputed from silver."""
SOURCES: Final = (
    *("silver.clicks", "silver.purchases", "silver.transactions"),
    *("silver.sessions", "gold.product_metrics_5m", "gold.fraud_decisions"),
)
"""Tables that others are computed from."""
_MAINTENANCE: Final = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "ADD COLUMN")
"""Operations that move the version and not the data."""


def outdated(settings: Settings) -> dict[str, str]:
    """By table, what it has not read yet: ``silver.clicks 7 of 9``. Empty when every refresh is done.

    Raises:
        ServiceDownError: MinIO does not answer.
    """
    newest = {source: _data_version(settings, source) for source in SOURCES}
    behind = {}
    for name in REFRESHED:
        read = _read(settings, name)
        late = [
            f"{source} {version} of {newest[source]}"
            for source, version in read.items()
            if source in newest and version < newest[source]
        ]
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
