"""Letting a table lie in no partitions any more: all its rows in other files, in one commit.

delta-rs changes no partitioning (1.6). So this commit is written here, as the protocol has it
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md, Actions), by the conditional put by which all commit.
"""

import json
import time
from collections.abc import Collection, Iterator
from typing import Any, Final
from urllib.parse import quote

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction

from lakehouse.delta.files import paths
from lakehouse.delta.log import entry_key
from lakehouse.delta.notes import Said
from lakehouse.delta.tables import PROPERTIES, open_table
from lakehouse.delta.write import Once, commit_once
from lakehouse.object_store import put_new
from lakehouse.settings import Settings

_OPERATION: Final = {"operation": "WRITE", "operationParameters": {"mode": "Overwrite", "partitionBy": "[]"}}
_AS_IN_PATHS: Final = "/=:"


def unpartition(settings: Settings, name: str, content: Collection[AddAction], once: Once, note: Said) -> int:
    """Makes files that are in no partitions the whole content of a table, which keeps its id, its columns and its
    versions so far; returns the version that has them. A reader sees what was there or what is.

    Raises:
        CommitRefusedError, StoreFailingError, ServiceDownError: as `lakehouse.delta.append`.
    """

    def attempt(now: DeltaTable, properties: CommitProperties) -> None:
        version = int(now.version()) + 1
        entry = "\n".join(json.dumps(action) for action in _actions(now, content, properties))
        if not put_new(settings, entry_key(settings, name, version), entry.encode()):
            raise CommitFailedError(f"version {version} of {name} is another's")

    return commit_once(settings, name, once, attempt, note, open_table(settings, name))


def _actions(now: DeltaTable, content: Collection[AddAction], properties: CommitProperties) -> Iterator[dict[str, Any]]:
    at, metadata = int(time.time() * 1000), now.metadata()
    yield {"commitInfo": {"timestamp": at, **_OPERATION, **(properties.custom_metadata or {})}}
    yield {
        "metaData": {
            "id": metadata.id,
            "name": metadata.name,
            "description": metadata.description,
            "format": {"provider": "parquet", "options": {}},
            "schemaString": now.schema().to_json(),
            "partitionColumns": [],
            "configuration": {**metadata.configuration, **PROPERTIES},
            "createdTime": metadata.created_time,
        }
    }
    for each in properties.app_transactions or ():
        yield {"txn": {"appId": each.app_id, "version": each.version}}
    for path in sorted(paths(now)):
        yield {"remove": {"path": quote(path, safe=_AS_IN_PATHS), "deletionTimestamp": at, "dataChange": True}}
    for added in content:
        yield {
            "add": {
                "path": added.path,
                "partitionValues": {},
                "size": added.size,
                "modificationTime": added.modification_time,
                "dataChange": True,
                "stats": added.stats,
            }
        }
