"""What a table with a long log costs its follower: `python -m benchmarks.long_log`.

Needs `lakehouse up minio`. Each table has as many commits as `--entries` says, of which each replaces one of ten files,
a checkpoint of the last and of one a hundred before, and all entries kept: what a week of cycles leaves. They are put
into the store as entries of the log; nobody reads their data files. Measured is what a follower does to it in a cycle,
and what it does once when it starts. Of each the median of `--rounds`, CPU seconds of this process.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from minio.commonconfig import SnowballObject
from minio.error import S3Error

from benchmarks.marts import remove
from infra.local.machine import describe
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.delta import create_table, open_table
from lakehouse.delta.files import commit_files
from lakehouse.delta.layout import Files
from lakehouse.delta.log import rewrites
from lakehouse.object_store import build_client
from lakehouse.settings import Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "long_log.json"
TABLE: Final = f"silver.clicks{FOLLOWED}"
LIVE_FILES: Final = 10
CHECKPOINT_EVERY: Final = 100
PACK: Final = 2_000
"""Entries of one request, which the store unpacks."""


def entry(version: int) -> bytes:
    now = int(time.time() * 1000)
    name = "part-{:020}.snappy.parquet".format
    statistics_of = json.dumps({"numRecords": 1, "minValues": {}, "maxValues": {}, "nullCount": {}})
    add = {"path": name(version), "partitionValues": {}, "size": 1000, "modificationTime": now, "dataChange": True}
    actions: list[dict[str, Any]] = [
        {"commitInfo": {"timestamp": now, "operation": "WRITE", "userMetadata": '{"kind": "follow"}'}},
        {"txn": {"appId": "read/bronze.clicks@0", "version": version, "lastUpdated": now}},
        {"add": add | {"stats": statistics_of}},
    ]
    if version > LIVE_FILES:
        removed = {"path": name(version - LIVE_FILES), "deletionTimestamp": now, "dataChange": True}
        actions.append({"remove": removed | {"extendedFileMetadata": True, "partitionValues": {}, "size": 1000}})
    return b"\n".join(json.dumps(action).encode() for action in actions)


def fill(settings: Settings, entries: int) -> None:
    create_table(settings, TABLE)
    client = build_client(settings)
    folder = settings.table_path(TABLE).removeprefix(f"s3://{settings.bucket}/") + "/_delta_log/"

    def packed(version: int) -> SnowballObject:
        body = entry(version)
        return SnowballObject(f"{folder}{version:020}.json", data=io.BytesIO(body), length=len(body))

    recent = max(1, entries - CHECKPOINT_EVERY)
    for begin, end in ((1, recent), (recent, entries + 1)):
        for first in range(begin, end, PACK):
            pack = (packed(version) for version in range(first, min(first + PACK, end)))
            client.upload_snowball_objects(settings.bucket, pack)
        open_table(settings, TABLE).create_checkpoint()


def measured(settings: Settings, entries: int, rounds: int) -> dict[str, dict[str, float]]:
    opened, client = open_table(settings, TABLE), build_client(settings)
    folder = settings.table_path(TABLE).removeprefix(f"s3://{settings.bucket}/") + "/_delta_log/"

    def poll() -> None:
        try:
            client.stat_object(settings.bucket, f"{folder}{int(opened.version()) + 1:020}.json")
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise

    def commit() -> None:
        commit_files(settings, TABLE, opened, [], [], None, app_id="bench")
        opened.update_incremental()

    done: dict[str, Callable[[], object]] = {
        "open": lambda: open_table(settings, TABLE),
        "open as of 50 versions ago": lambda: open_table(settings, TABLE, int(opened.version()) - 50),
        "look for news": opened.update_incremental,
        "look for news by name": poll,
        "list the files": lambda: Files(opened),
        "read ten entries": lambda: rewrites(settings, TABLE, range(entries - 10, entries)),
        "last note": lambda: opened.history(1),
        "commit": commit,
    }
    found = {}
    for name, do in done.items():
        do()
        times = []
        for _ in range(rounds):
            began, cpu = time.perf_counter(), time.process_time()
            do()
            times.append((time.process_time() - cpu, time.perf_counter() - began))
        found[name] = {
            "cpu_ms": round(statistics.median(cpu for cpu, _ in times) * 1000, 2),
            "ms": round(statistics.median(wall for _, wall in times) * 1000, 2),
        }
        print(f"{entries} entries, {name}: {found[name]}", file=sys.stderr)
    assert pa.table(opened.get_add_actions()).num_rows == LIVE_FILES
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[100, 60_000])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    results = {}
    for entries in arguments.entries:
        settings = load_settings().model_copy(update={"namespace": f"bench_{time.time_ns():x}"})
        try:
            fill(settings, entries)
            results[str(entries)] = measured(settings, entries, arguments.rounds)
        finally:
            remove(settings)
    result = {"benchmark": "long_log", "machine": describe(), "rounds": arguments.rounds, "by_entries": results}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
