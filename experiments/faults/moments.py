"""Moments of a writer's work at which dying is most likely to show: between data files and the commit that names
them, and between a commit and the checkpoint that acknowledges it.

A moment passes while one looks. So the writer goes by steps, and is frozen while one looks; afterwards it is looked at
once more.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import psutil
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from experiments.faults.journal import Journal
from experiments.faults.processes import Frozen, NotRunningError, kill, processes
from experiments.faults.schedule import FOLLOWER_PROCESS, SPARK_DRIVER, TASK_MANAGER, Kind
from lakehouse.contracts.core import Core
from lakehouse.contracts.owners import INGEST, INGEST_TRANSACTIONS
from lakehouse.contracts.tables import FOLLOWED, INGESTED
from lakehouse.cuts import checkpoint_of
from lakehouse.delta import TableError, open_table
from lakehouse.delta.files import Source
from lakehouse.flink_rest import latest_checkpoints
from lakehouse.object_store import build_client
from lakehouse.runtime.wanted import wanted_state
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

WATCHED: Final = {
    (Core.SPARK, SPARK_DRIVER): "silver.clicks",
    (Core.SPARK, TASK_MANAGER): "bronze.transactions",
    (Core.FOLLOWER, FOLLOWER_PROCESS): f"silver.clicks{FOLLOWED}",
    (Core.FOLLOWER, TASK_MANAGER): f"bronze.clicks{INGESTED}",
}
"""A table of each writer: Spark's once in each batch of clicks, at about the middle of its work, Flink's once in each
checkpoint, the follower's once in each cycle that has clicks."""
_FIRST_READER: Final = f"silver.session_parts{FOLLOWED}"
"""Of the follower's clicks."""
_LOOK_SECONDS: Final = 0.05
_STEPS: Final = 200


class Moment(Protocol):
    def now(self) -> bool:
        """Whether it is this moment, as far as earlier looks have seen."""


@dataclass(slots=True)
class Uncommitted:
    """Data files of `table` lie in the store, and no commit names them yet."""

    settings: Settings
    table: str
    _before: frozenset[str] | None = field(default=None)
    _version: int = field(default=-1)

    def now(self) -> bool:
        """Whether files have come since the table's last commit."""
        try:
            files, version = self._look()
        except (S3Error, HTTPError):
            return False
        if version != self._version or self._before is None:
            self._before, self._version = files, version
            return False
        return bool(files - self._before)

    def _look(self) -> tuple[frozenset[str], int]:
        """Data files and newest version; the version first, so that a commit in between is not overlooked."""
        version = newest_version(self.settings, self.table)
        root = _root(self.settings, self.table)
        found = build_client(self.settings).list_objects(self.settings.bucket, f"{root}/", recursive=True)
        files = frozenset(o.object_name or "" for o in found if (o.object_name or "").endswith(".parquet"))
        return frozenset(name for name in files if "/_delta_log/" not in name), version


@dataclass(slots=True)
class SparkUnacknowledged:
    """A batch has committed silver, and its end is not in Spark's checkpoint yet."""

    settings: Settings
    _written: int | None = field(default=None)

    def now(self) -> bool:
        """Whether such a batch has got so far since the first look: an older one may be of a driver that is gone."""
        journal = Journal(self.settings)
        lines = journal.lines(event="step")
        if self._written is None:
            self._written = len(lines)
        committed = any(line["step"] == "silver" for line in lines[self._written :])
        return committed and journal.open_batch("silver") is not None


@dataclass(slots=True)
class FlinkUnacknowledged:
    """The sink has committed, and the job's newest checkpoint still holds that commit as one to be made."""

    settings: Settings
    job: str
    table: str
    _version: int | None = field(default=None)

    def now(self) -> bool:
        """Whether such a commit has come since the first look."""
        try:
            version = newest_version(self.settings, self.table)
            if self._version is None:
                self._version = version
            if version == self._version:
                return False
            committed, completed = self._committed_checkpoint(version), self._completed_checkpoint()
        except (S3Error, HTTPError, ServiceDownError):
            return False
        return committed is not None and committed == completed

    def _committed_checkpoint(self, version: int) -> int | None:
        """The checkpoint whose rows a version brought; None: it is another writer's."""
        name = f"{_root(self.settings, self.table)}/_delta_log/{version:020}.json"
        with build_client(self.settings).get_object(self.settings.bucket, name) as answer:
            actions = [json.loads(line) for line in answer.read().splitlines()]
        return next((int(action["txn"]["version"]) for action in actions if _of_the_sink(action)), None)

    def _completed_checkpoint(self) -> int | None:
        completed = latest_checkpoints(self.settings, self.job).get("completed")
        return int(completed["id"]) if completed else None


@dataclass(slots=True)
class Apart:
    """Of the commits of one checkpoint of Flink's ingest that of one table is made, and that of the other is not. Rows
    must flow into both: a checkpoint without rows makes no commit."""

    settings: Settings
    table: str
    other: str

    def now(self) -> bool:
        """Whether the tables' newest commits are of different checkpoints."""
        generation = wanted_state(self.settings, INGEST).generation
        try:
            first, second = (open_table(self.settings, name) for name in (self.table, self.other))
        except (TableError, ServiceDownError):
            return False
        return checkpoint_of(first, generation) != checkpoint_of(second, generation)


@dataclass(slots=True)
class Unread:
    """`table` has committed, and `reader`, which follows it, has not read that yet."""

    settings: Settings
    table: str
    reader: str

    def now(self) -> bool:
        """Whether the reader's log lags behind the table's."""
        try:
            table, reader = (open_table(self.settings, name) for name in (self.table, self.reader))
        except (TableError, ServiceDownError):
            return False
        position = Source.of(self.table, table).position(reader)
        return (-1 if position is None else position) < int(table.version())


def _of_the_sink(action: dict[str, Any]) -> bool:
    """Whether a commit of Flink's sink says by this of which checkpoint it is."""
    return str(action.get("txn", {}).get("appId", "")).startswith("flink-")


def newest_version(settings: Settings, table: str) -> int:
    """By the names in its log; -1: it has none."""
    log = build_client(settings).list_objects(settings.bucket, f"{_root(settings, table)}/_delta_log/")
    stems = ((o.object_name or "").rpartition("/")[2].removesuffix(".json") for o in log)
    return max((int(stem) for stem in stems if stem.isdecimal()), default=-1)


def _root(settings: Settings, table: str) -> str:
    return settings.table_path(table, "s3").removeprefix(f"s3://{settings.bucket}/")


def moment(settings: Settings, kind: Kind, target: str, core: Core) -> Moment:
    """The moment of a kind of fault in the work of `target`."""
    table = WATCHED[core, target]
    if kind is Kind.KILL_UNCOMMITTED:
        return Uncommitted(settings, table)
    if target == TASK_MANAGER:
        return FlinkUnacknowledged(settings, INGEST if core is Core.FOLLOWER else INGEST_TRANSACTIONS, table)
    return SparkUnacknowledged(settings) if core is Core.SPARK else Unread(settings, table, _FIRST_READER)


def kill_at(settings: Settings, kind: Kind, target: str, core: Core, over: threading.Event) -> int | None:
    """Kill `target` at the next moment of `kind`, and again until it was one; the pid that it had, None if none came
    before it was `over`."""
    return kill_in(settings, moment(settings, kind, target, core), target, over)


def kill_in(settings: Settings, awaited: Moment, target: str, over: threading.Event) -> int | None:
    """The same at a moment of one's own. The target goes on by short steps, and is frozen while one looks: so a moment
    that lasts no longer than a request is not missed."""
    while not over.wait(_LOOK_SECONDS):
        with contextlib.suppress(NotRunningError):
            for _ in _steps(processes(settings, target)):
                # A request that was on its way may have ended it all the same.
                if awaited.now() and (pid := kill(settings, target)) and awaited.now():
                    return pid
                if over.is_set():
                    break
    return None


def _steps(victims: list[psutil.Process]) -> Iterator[None]:
    """Lets them run for a step after each, half as long as the look took; between them they are frozen. Ends when the
    first is gone, or after a while, as there may be new ones."""
    for _ in range(_STEPS):
        began = time.monotonic()
        with Frozen(victims):
            yield
        if not victims[0].is_running() or victims[0].status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep((time.monotonic() - began) / 2)
