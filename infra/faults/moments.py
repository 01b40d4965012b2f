"""Moments of the Spark driver's work at which dying is most likely to show: between data files and the commit that
names them, and between a commit and the checkpoint that acknowledges its batch.

A moment passes while one looks. Whoever kills at one looks again afterwards, whether it was one still.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from infra.faults.journal import Journal
from infra.faults.processes import NotRunningError, kill
from infra.faults.schedule import Kind
from lakehouse.contracts.tables import SPARK_INGEST
from lakehouse.object_store import build_client
from lakehouse.runtime.supervisor import job_program
from lakehouse.settings import Settings

DRIVER: Final = job_program(SPARK_INGEST)
WATCHED: Final = "silver.clicks"
"""Each batch of clicks writes it once, at about the middle of its work."""
_LOOK_SECONDS: Final = 0.02


@dataclass(slots=True)
class Uncommitted:
    """Data files of `WATCHED` lie in the store, and no commit names them yet."""

    settings: Settings
    _before: frozenset[str] | None = field(default=None)
    _version: int = field(default=-1)

    def now(self) -> bool:
        """Whether files have come since the table's last commit, as far as earlier looks have seen."""
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
        client = build_client(self.settings)
        root = self.settings.table_path(WATCHED, "s3").removeprefix(f"s3://{self.settings.bucket}/")
        log = [o.object_name or "" for o in client.list_objects(self.settings.bucket, f"{root}/_delta_log/")]
        versions = [int(stem) for name in log if (stem := name.rpartition("/")[2].removesuffix(".json")).isdecimal()]
        found = client.list_objects(self.settings.bucket, f"{root}/", recursive=True)
        files = frozenset(o.object_name or "" for o in found if (o.object_name or "").endswith(".parquet"))
        return frozenset(name for name in files if "/_delta_log/" not in name), max(versions, default=-1)


@dataclass(slots=True)
class Unacknowledged:
    """A batch has committed `WATCHED`, and its end is not in Spark's checkpoint yet."""

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


MOMENTS: Final[dict[Kind, Callable[[Settings], Uncommitted | Unacknowledged]]] = {
    Kind.KILL_UNCOMMITTED: Uncommitted,
    Kind.KILL_UNACKNOWLEDGED: Unacknowledged,
}


def kill_at(settings: Settings, kind: Kind, over: threading.Event) -> int | None:
    """Kill the driver at the next moment of `kind`, and again until it was one; the pid that it had, None if none
    came before it was `over`."""
    moment = MOMENTS[kind](settings)
    while not over.wait(_LOOK_SECONDS):
        if not moment.now():
            continue
        try:
            pid = kill(settings, DRIVER)
        except NotRunningError:
            continue
        if moment.now():
            return pid
    return None
