"""The files of a Delta log as they lie in MinIO, read by no Delta library."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lakehouse.object_store import build_client
from lakehouse.settings import Settings


def log_prefix(settings: Settings, name: str) -> str:
    """Of the log of the table `name`, in its bucket."""
    return settings.table_path(name).removeprefix(f"s3://{settings.bucket}/") + "/_delta_log/"


def log_versions(settings: Settings, name: str) -> list[int]:
    """The versions that have a commit file."""
    prefix = log_prefix(settings, name)
    found = build_client(settings).list_objects(settings.bucket, prefix)
    names = [(entry.object_name or "").removeprefix(prefix) for entry in found]
    return sorted(int(name.split(".")[0]) for name in names if name.removesuffix(".json").isdigit())


def log_file(settings: Settings, key: str) -> bytes:
    return build_client(settings).get_object(settings.bucket, key).read()


def log_actions(settings: Settings, name: str, version: int) -> list[dict[str, Any]]:
    """The actions of one commit, in order."""
    lines = log_file(settings, f"{log_prefix(settings, name)}{version:020}.json").splitlines()
    return [json.loads(line) for line in lines]


def write_actions(settings: Settings, name: str, version: int, actions: list[dict[str, Any]]) -> None:
    """Puts `actions` in place of those of a commit."""
    content = "\n".join(map(json.dumps, actions)).encode()
    key = f"{log_prefix(settings, name)}{version:020}.json"
    build_client(settings).put_object(settings.bucket, key, io.BytesIO(content), len(content))


def backdate(settings: Settings, name: str, versions: Mapping[int, timedelta]) -> None:
    """Lets commits say that they were made so long before now."""
    for version, ago in versions.items():
        actions = log_actions(settings, name, version)
        for action in actions:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] = int((datetime.now(UTC) - ago).timestamp() * 1000)
        write_actions(settings, name, version, actions)


def log_transactions(settings: Settings, name: str) -> list[tuple[str, int]]:
    """The transactions that the log records: application id and version, commit by commit."""
    actions = (action for version in log_versions(settings, name) for action in log_actions(settings, name, version))
    return [(a["txn"]["appId"], a["txn"]["version"]) for a in actions if "txn" in a]
