"""Tables written file by file: who writes data files itself says in the log which come, which go, and what was read.

What a commit adds, what it removes and how far it has read its sources follow from one snapshot of the table, and are
committed at the version after it, or computed anew: delta-rs would accept the removal of a file that the table no
longer has. How far it has read is a transaction of the log, which survives checkpoints and a kill at any moment.
"""

import io
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from lakehouse.contracts.arrow import arrow_schema, polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta.difference import Difference, Rewrite, difference
from lakehouse.delta.errors import OvertakenError
from lakehouse.delta.log import rewrites
from lakehouse.delta.notes import Said
from lakehouse.delta.statistics import statistics
from lakehouse.delta.tables import open_table
from lakehouse.delta.write import Once, commit_once
from lakehouse.object_store import build_client
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Source:
    """A table that another one follows. Versions of one that was made anew begin again, under another `table_id`."""

    name: str
    table_id: str

    @classmethod
    def of(cls, name: str, opened: DeltaTable) -> "Source":
        return cls(name, str(opened.metadata().id))

    @property
    def app_id(self) -> str:
        """Under which a follower's log says how far it has read it."""
        return f"read/{self.name}@{self.table_id}"

    def position(self, follower: DeltaTable) -> int | None:
        """The version up to which it was read for `follower`, as that is open; None: never, be it so again (-1)."""
        version = follower.transaction_version(self.app_id)
        return None if version is None or version < 0 else version


def paths(opened: DeltaTable) -> frozenset[str]:
    """The data files of the version that is open, relative to the table."""
    return frozenset(pa.table(opened.get_add_actions())["path"].to_pylist())


def gained_and_lost(settings: Settings, name: str, since: int, until: DeltaTable) -> Difference:
    """By which files the version of `until` differs from version `since` of the table `name`.

    Raises:
        VersionMissingError: that version is no longer kept. What follows the table is to be computed anew.
        ServiceDownError: MinIO does not answer.
    """
    newest = int(until.version())
    before = paths(open_table(settings, name, since))
    known: list[Rewrite] = rewrites(settings, name, range(since + 1, newest + 1))
    return difference(before, paths(until), known)


def read_each(
    settings: Settings, name: str, files: Iterable[str], columns: Collection[str] | None = None
) -> dict[str, pl.DataFrame]:
    """The rows of each of these data files of a table, which need not be in its newest version any more; by default all
    `columns`. One that a file is too old to have is null.

    Raises:
        OSError: one of them is gone.
    """
    contract, root, wanted = table(name), settings.table_path(name), list(files)
    types = polars_schema(contract)
    stored = {column: types[column] for column in contract.column_names if column not in contract.partition_by}
    scans = [
        pl.scan_parquet(
            f"{root}/{path}",
            schema=stored,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=settings.delta_storage_options(),
            credential_provider=None,
            hive_partitioning=False,
            glob=False,
        )
        .with_columns(pl.lit(_day_of(path, c)).alias(c) for c in contract.partition_by)
        .select(column for column in contract.column_names if columns is None or column in columns)
        for path in wanted
    ]
    return dict(zip(wanted, pl.collect_all(scans), strict=True))


def read_files(settings: Settings, name: str, files: Iterable[str]) -> pl.DataFrame:
    """The same as one frame, of all columns."""
    return pl.concat([pl.DataFrame(schema=polars_schema(table(name))), *read_each(settings, name, files).values()])


def write_files(
    settings: Settings, name: str, frames: Iterable[pl.DataFrame], into: str | None = None
) -> list[AddAction]:
    """One data file for each of `frames` that has rows, of a table that is not partitioned; nothing shows them until
    they are committed. `into`: the table that they are for, if it is another of the same columns.

    Raises:
        ValueError: the table is partitioned.
        pa.ArrowInvalid: rows break the contract.
    """
    contract = table(name)
    if contract.partition_by:
        raise ValueError(f"{name} is partitioned: its files are written by delta-rs")
    client, schema = build_client(settings), arrow_schema(contract)
    folder = settings.table_path(into or name).removeprefix(f"s3://{settings.bucket}/")
    written = []
    for rows in frames:
        if rows.is_empty():
            continue
        body = io.BytesIO()
        typed = rows.select(contract.column_names).cast(polars_schema(contract))
        pq.write_table(typed.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema), body, compression="snappy")
        path, size = f"part-{uuid.uuid4()}.snappy.parquet", body.tell()
        body.seek(0)
        client.put_object(settings.bucket, f"{folder}/{path}", body, size)
        written.append(AddAction(path, size, {}, _now(), True, statistics(contract, typed)))
    return written


def commit_files(
    settings: Settings,
    name: str,
    opened: DeltaTable,
    added: Collection[AddAction],
    removed: Collection[str],
    note: Said | None,
    read: Mapping[Source, int] | None = None,
    app_id: str = "files",
    *,
    same_rows: bool = False,
) -> int:
    """Commits files to the table as it is `opened`, with how far its sources were `read`; returns the new version.

    `app_id`: of the table's one owner. Without files it says only how far was read. `same_rows`: those that come hold
    the rows of those that go, which changes no data (``dataChange=false``), and what others do beside is no matter.

    Raises:
        OvertakenError: somebody has committed since the table was opened; with `same_rows`, has removed one of these
            files. What was written is not in it; compute anew.
        ValueError: one of `removed` is not in it.
        CommitRefusedError, StoreFailingError, ServiceDownError: as `lakehouse.delta.append`.
    """
    base = int(opened.version())
    if gone := set(removed) - paths(opened):
        raise ValueError(f"{name} has at version {base} no {', '.join(sorted(gone))}")

    def unchanged(now: DeltaTable) -> None:
        overtaken = bool(set(removed) - paths(now)) if same_rows else now.version() != base
        if overtaken:
            raise OvertakenError(now.table_uri, app_id, base, int(now.version()))

    actions: list[AddAction | RemoveAction] = [
        *(replace(each, data_change=not same_rows) for each in added),
        *(RemoveAction(path, not same_rows, _now(), None, {}) for path in removed),
    ]

    def attempt(now: DeltaTable, properties: CommitProperties) -> None:
        now.create_write_transaction(actions, "append", now.schema(), None, commit_properties=properties)

    positions = {source.app_id: version for source, version in (read or {}).items()}
    return commit_once(settings, name, Once(app_id, None, unchanged, positions), attempt, note, opened)


def _now() -> int:
    return int(time.time() * 1000)


def _day_of(path: str, column: str) -> date:
    """All that is partitioned is so by a date."""
    return date.fromisoformat(path.split(f"{column}=", 1)[1].split("/", 1)[0])
