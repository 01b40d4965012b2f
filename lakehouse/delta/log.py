"""What single commits of a table changed, from the files of its log: delta-rs tells the content of versions only."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, Final

from lakehouse.contracts.tables import table
from lakehouse.object_store import build_client
from lakehouse.settings import Settings

_READERS: Final = 8


def days_changed(settings: Settings, name: str, versions: Iterable[int]) -> dict[int, set[date | None]]:
    """By version, the days whose rows the commit added or removed: not those whose files it only put together.

    None among them: rows without a day, of an unpartitioned table or where the commit doesn't say. The versions' log
    must be kept.
    """
    client = build_client(settings)
    folder = settings.table_path(name).removeprefix(f"s3://{settings.bucket}/") + "/_delta_log/"
    column = next(iter(table(name).partition_by), "")

    def changed(version: int) -> set[date | None]:
        with client.get_object(settings.bucket, f"{folder}{version:020}.json") as answer:
            actions = [json.loads(line) for line in answer.data.splitlines()]
        files = [action[kind] for action in actions for kind in ("add", "remove") if kind in action]
        return {_day(file, column) for file in files if file["dataChange"]}

    wanted = list(versions)
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(wanted, pool.map(changed, wanted), strict=True))


def _day(file: Mapping[str, Any], column: str) -> date | None:
    value = (file.get("partitionValues") or {}).get(column)
    return date.fromisoformat(value) if value else None
