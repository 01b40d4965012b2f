"""From which silver version each refreshed table was computed, by what its commits say of themselves."""

import json
from collections.abc import Mapping
from typing import Any, Final

from lakehouse.contracts.tables import SPARK_INGEST, TABLES
from lakehouse.delta import TableMissingError, open_table
from lakehouse.settings import Settings

REFRESHED: Final = tuple(
    t.name for t in TABLES.values() if t.owner == SPARK_INGEST and t.layer in ("silver", "gold") and not t.insert_only
)
"""Tables that are recomputed from silver."""
SOURCES: Final = ("silver.clicks", "silver.purchases")
_MAINTENANCE: Final = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES")
"""Operations that move the version and not the data."""
_LOOK_BACK: Final = 20


def outdated(settings: Settings) -> dict[str, str]:
    """By table, what it has not read yet: ``silver.clicks 7 of 9``. Empty when every refresh is done.

    Raises:
        ServiceDownError: MinIO does not answer.
    """
    newest = {source: _data_version(settings, source) for source in SOURCES}
    behind = {}
    for name in REFRESHED:
        read = _read_versions(settings, name)
        late = [
            f"{source} {version} of {newest[source]}"
            for source, version in read.items()
            if source in newest and version < newest[source]
        ]
        if late:
            behind[name] = ", ".join(late)
    return behind


def _read_versions(settings: Settings, name: str) -> Mapping[str, int]:
    """The silver versions in the newest commit that names any; none for a table that is not written yet."""
    for commit in _history(settings, name):
        versions = json.loads(commit.get("userMetadata") or "{}").get("silver_version")
        if versions:
            return {source: int(version) for source, version in versions.items()}
    return {}


def _data_version(settings: Settings, name: str) -> int:
    """The newest version that changed data; -1 for a table that is not written yet."""
    for commit in _history(settings, name):
        if commit.get("operation") not in _MAINTENANCE:
            return int(commit["version"])
    return -1


def _history(settings: Settings, name: str) -> list[dict[str, Any]]:
    try:
        return list(open_table(settings, name).history(_LOOK_BACK))
    except TableMissingError:
        return []
