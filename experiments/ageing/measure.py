"""What an installation has grown to, looked at from outside."""

from dataclasses import dataclass

import psutil
import psycopg

from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.owners import FOLLOWER
from lakehouse.contracts.tables import BRONZE
from lakehouse.delta import open_table
from lakehouse.delta.layout import Files
from lakehouse.object_store import build_client
from lakehouse.runtime.supervisor import Supervisor, job_program
from lakehouse.settings import Settings

TABLES = (*BRONZE, *DERIVED)
"""Those of the core."""


@dataclass(frozen=True, slots=True)
class Size:
    """`live_mib`: of the files that the newest versions of the core's tables hold; `store_mib`: of all objects but
    checkpoints of Flink; `log_entries`: of the longest log; `files`: of the table that has most."""

    store_mib: float
    live_mib: float
    checkpoints_mib: float
    log_entries: int
    files: int
    postgres_mib: float
    follower_mib: float
    logs_mib: float


def size(settings: Settings) -> Size:
    """Raises what `lakehouse.delta.open_table` raises, and psycopg.OperationalError."""
    stored, checkpoints, entries = 0, 0, dict[str, int]()
    for found in build_client(settings).list_objects(settings.bucket, recursive=True):
        name, bytes_ = found.object_name or "", found.size or 0
        if name.startswith("_checkpoints/"):
            checkpoints += bytes_
            continue
        stored += bytes_
        folder, in_log, entry = name.partition("/_delta_log/")
        if in_log and entry.removesuffix(".json").isdecimal():
            entries[folder] = entries.get(folder, 0) + 1
    held = {name: Files(open_table(settings, name)).sizes for name in TABLES}
    logs = sum(file.stat().st_size for file in (settings.home / "logs").iterdir() if file.is_file())
    return Size(
        store_mib=_mib(stored),
        live_mib=_mib(sum(sum(sizes.values()) for sizes in held.values())),
        checkpoints_mib=_mib(checkpoints),
        log_entries=max(entries.values(), default=0),
        files=max(map(len, held.values())),
        postgres_mib=_mib(_postgres(settings)),
        follower_mib=_mib(_memory(settings)),
        logs_mib=_mib(logs),
    )


def _postgres(settings: Settings) -> int:
    with psycopg.connect(settings.postgres_dsn) as database:
        row = database.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0


def _memory(settings: Settings) -> int:
    """Of the follower; 0: it does not run."""
    pid = Supervisor(settings).status(job_program(FOLLOWER)).pid
    return int(psutil.Process(pid).memory_info().rss) if pid else 0


def _mib(size: int) -> float:
    return round(size / 2**20, 2)
