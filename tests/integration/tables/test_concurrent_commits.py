"""Several writers of one Delta log on MinIO: each version has one winner; no acknowledged commit is lost or doubled."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from minio import Minio

from lakehouse.delta import append_ops, create_table
from lakehouse.settings import ROOT, Settings
from tests.integration.tables.log_store_race import PART_BYTES
from tests.integration.tables.lost_answers import LosingProxy
from tests.integration.tables.spark_writer import NAME, row
from tests.lake import stored

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

THREADS = 4


class Writer:
    """A Spark process that waits until it is told to write."""

    def __init__(self, module: str, *arguments: object, port: int | None = None) -> None:
        environment = os.environ | ({"LAKEHOUSE_MINIO_PORT": str(port)} if port else {})
        # A file: nobody reads along, and a full pipe would stop the writer.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.tables.{module}", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self._line() == "ready\n"

    def tell(self, line: object = "go") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        return json.loads(self._line())

    def said(self) -> list[str]:
        """All that it says until it ends."""
        output, _ = self._process.communicate(timeout=600)
        assert self._process.returncode == 0, self._complaint()
        return output.splitlines()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._complaint()
        return line

    def _complaint(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-3000:]


@contextmanager
def writers(*waiting: Writer) -> Iterator[None]:
    try:
        for writer in waiting:
            writer.wait_until_ready()
        yield
    finally:
        for writer in waiting:
            writer.end()


@pytest.mark.parametrize(("versions", "size"), [(100, 0), (5, PART_BYTES)], ids=["one put", "in parts"])
def test_of_the_writers_of_a_version_exactly_one_wins(lake, versions, size):
    """Two processes of four threads: the threads meet in one S3 client, the processes only at the store."""
    folder = f"{lake.namespace}/race"
    racing = [Writer("log_store_race", name, folder, THREADS, size) for name in ("one", "two")]
    with writers(*racing):
        for version in range(versions):
            for writer in racing:
                writer.tell(version)
            (winner,) = [thread for writer in racing for thread in writer.answer()]
            written = log_file(lake, f"{folder}/_delta_log/{version:020}.json").decode()
            assert written == f"{winner}\n{'x' * size}\n"


def test_spark_recognises_its_commit_whose_answer_was_lost(lake):
    create_table(lake, NAME)
    with LosingProxy((lake.host, lake.minio_port), "/_delta_log/00000000000000000002.json") as proxy:
        writer = Writer("spark_writer", lake.namespace, "spark", 3, port=proxy.port)
        with writers(writer):
            writer.tell()
            acknowledged = writer.said()
    assert proxy.lost == 1
    assert commits_of(lake) == [["spark-0"], ["spark-1"], ["spark-2"]]
    assert acknowledged == ["spark-0", "spark-1", "spark-2"]


def test_spark_and_delta_rs_write_one_table(lake):
    create_table(lake, NAME)
    sparks = [Writer("spark_writer", lake.namespace, name, 12) for name in ("one", "two")]
    rust = [f"rust-{number}" for number in range(24)]
    with writers(*sparks), ThreadPoolExecutor(2) as pool:
        for writer in sparks:
            writer.tell()
        list(pool.map(lambda run: append_ops(lake, NAME, [row(run)]), rust))
        acknowledged = rust + [run for writer in sparks for run in writer.said()]
    committed = commits_of(lake)
    assert all(len(runs) == 1 for runs in committed)
    assert sorted(run for (run,) in committed) == sorted(acknowledged)
    assert sorted(stored(lake, NAME)["run_id"]) == sorted(acknowledged)
    assert len(acknowledged) == len(rust) + 24


def commits_of(lake: Settings) -> list[list[str]]:
    """The `run_id` of each file that was added, by commit from version 1 on; no version is missing."""
    prefix = lake.table_path(NAME).removeprefix(f"s3://{lake.bucket}/") + "/_delta_log/"
    names = [found.object_name.removeprefix(prefix) for found in store(lake).list_objects(lake.bucket, prefix)]
    versions = sorted(int(name.split(".")[0]) for name in names if name.removesuffix(".json").isdigit())
    assert versions == list(range(len(versions)))
    found = []
    for version in versions[1:]:
        actions = [json.loads(line) for line in log_file(lake, f"{prefix}{version:020}.json").splitlines()]
        runs = [json.loads(action["add"]["stats"])["minValues"]["run_id"] for action in actions if "add" in action]
        found.append(runs)
    return found


def log_file(lake: Settings, key: str) -> bytes:
    return store(lake).get_object(lake.bucket, key).read()


def store(lake: Settings) -> Minio:
    key, secret = lake.minio_access_key, lake.minio_secret_key.get_secret_value()
    return Minio(f"{lake.host}:{lake.minio_port}", key, secret, secure=False)
