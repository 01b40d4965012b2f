"""What single commits of a table changed, from the files of its log: delta-rs tells the content of versions only."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import unquote

from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.delta.describe import Commit, commit_of
from lakehouse.delta.difference import Rewrite
from lakehouse.object_store import build_client
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_READERS: Final = 8


def file_changes(settings: Settings, name: str, versions: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """By version, the entries of the files whose rows the commit added or removed: not of those that it only put
    together. The versions' log must be kept.
    """
    client = build_client(settings)

    def changed(version: int) -> list[dict[str, Any]]:
        actions = _actions(client, settings, name, version)
        files = [action[kind] for action in actions for kind in ("add", "remove") if kind in action]
        return [{**file, "path": unquote(file["path"])} for file in files if file["dataChange"]]

    wanted = list(versions)
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(wanted, pool.map(changed, wanted), strict=True))


def rewrites(settings: Settings, name: str, versions: Iterable[int]) -> list[Rewrite]:
    """What each of these commits did to files, of those whose entries of the log are kept; one request for each.

    Raises ServiceDownError.
    """
    client = build_client(settings)

    def of(version: int) -> Rewrite | None:
        try:
            actions = _actions(client, settings, name, version)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        added = [action["add"] for action in actions if "add" in action]
        removed = [action["remove"] for action in actions if "remove" in action]
        return Rewrite(
            frozenset(unquote(file["path"]) for file in added),
            frozenset(unquote(file["path"]) for file in removed),
            any(file["dataChange"] for file in (*added, *removed)),
        )

    try:
        with ThreadPoolExecutor(_READERS) as pool:
            return [each for each in pool.map(of, versions) if each is not None]
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error


def commit_at(settings: Settings, name: str, version: int) -> Commit | None:
    """One commit, by one request; None once its entry of the log is no longer kept. Raises ServiceDownError."""
    try:
        actions = _actions(build_client(settings), settings, name, version)
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    except S3Error as error:
        if error.code == "NoSuchKey":
            return None
        raise
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    return commit_of({"timestamp": 0, **info, "version": version})


def _actions(client: Minio, settings: Settings, name: str, version: int) -> list[dict[str, Any]]:
    with client.get_object(settings.bucket, entry_key(settings, name, version)) as answer:
        return [json.loads(line) for line in answer.data.splitlines()]


def entry_key(settings: Settings, name: str, version: int) -> str:
    """Where the log has the entry of a version, in the bucket."""
    return settings.table_path(name).removeprefix(f"s3://{settings.bucket}/") + f"/_delta_log/{version:020}.json"
