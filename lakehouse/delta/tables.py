"""Opening and creating the Delta table of a contract."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from deltalake import CommitProperties, DeltaTable, Field
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType

from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.columns import TableContract
from lakehouse.contracts.tables import table
from lakehouse.delta.describe import Commit, newest_first
from lakehouse.delta.errors import (
    BucketMissingError,
    CommitRefusedError,
    NoDeltaTableError,
    ProtocolTooNewError,
    StoreDeniedError,
    TableMissingError,
    VersionMissingError,
)
from lakehouse.delta.installations import require_own
from lakehouse.delta.schemas import outgrown_columns
from lakehouse.object_store import any_object
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

RETENTION: Final = timedelta(days=7)
"""How long the log and removed files are kept: so far back a table can be read."""
PROPERTIES: Final = {
    "delta.minReaderVersion": "1",
    "delta.minWriterVersion": "2",
    "delta.logRetentionDuration": f"interval {RETENTION.days} days",
    "delta.deletedFileRetentionDuration": f"interval {RETENTION.days} days",
    "delta.enableExpiredLogCleanup": "false",
}
"""Of every table, whoever creates it: no table features, history to read and to undo in, and no writer that trims the
log beside `lakehouse.delta.maintenance`."""
_ATTEMPTS: Final = 8
_KEPT: Final = f"history is kept for {RETENTION.days} days"


def open_table(
    settings: Settings, name: str, version: int | None = None, timestamp: datetime | None = None
) -> DeltaTable:
    """The table `name` at its newest version, at `version`, or as it was at `timestamp` (with a zone).

    Raises:
        UnknownTableError: no contract declares it.
        TableMissingError: nobody has written it yet.
        NoDeltaTableError: something else lies there.
        ProtocolTooNewError: the table needs features that we lack.
        VersionMissingError: it has no such version; or the time is yet to come, before the table's first version, or
            what the table was then is no longer kept.
        ServiceDownError: MinIO doesn't answer.
        StoreDeniedError: MinIO doesn't know our access key.
        BucketMissingError: MinIO has no such bucket.
    """
    contract = table(name)
    require_minio(settings)
    try:
        with _explained(settings, name):
            opened = DeltaTable(settings.table_path(name), storage_options=settings.delta_storage_options())
    except TableNotFoundError:
        _require_free(settings, name)
        raise TableMissingError(contract) from None
    newest = opened.version()
    if timestamp is not None:
        version = _version_at(opened, name, timestamp)
    if version is not None and version != newest:
        try:
            opened.load_as_version(version)
        except (DeltaError, OverflowError):
            raise VersionMissingError(name, version, newest) from None
    return opened


def _version_at(newest: DeltaTable, name: str, timestamp: datetime) -> int:
    """The newest version committed at or before `timestamp`; raises VersionMissingError.

    delta-rs can load a table by time, but takes a neighbouring version at times *(tried: 1.6, versions within a
    second of each other)*, and the oldest for a time before it.
    """
    now = datetime.now(UTC)
    missing = partial(VersionMissingError, name, timestamp, int(newest.version()))
    if timestamp > now:
        raise missing("that time is yet to come")
    next_one: Commit | None = None
    for commit in newest_first(newest):
        if commit.at <= timestamp:
            # Its files may be vacuumed once the commit that removed them, no earlier than the next one, is that old.
            if next_one is not None and next_one.at < now - RETENTION:
                raise missing(f"it was replaced on {next_one.at:%Y-%m-%d %H:%M:%SZ}, and {_KEPT}")
            return commit.version
        next_one = commit
    if next_one is not None and next_one.version == 0:
        raise missing(f"the table was created on {next_one.at:%Y-%m-%d %H:%M:%SZ}")
    raise missing(_KEPT)


def table_exists(settings: Settings, name: str) -> bool:
    """Whether the table `name` was created, empty or not."""
    table(name)
    require_minio(settings)
    with _explained(settings, name):
        return bool(DeltaTable.is_deltatable(settings.table_path(name), settings.delta_storage_options()))


def create_table(settings: Settings, name: str) -> DeltaTable:
    """Opens the table for writing: creates it by its contract unless it exists, adds nullable columns that it lacks,
    and allows the nulls that it forbids and the contract doesn't.

    Two creators at once are harmless: both write version 0 by conditional put, one wins, the other opens it.

    Raises:
        ForeignTablesError: the tables are another installation's.
        SchemaMismatchError: the table exists, and its columns don't fit the contract.
        CommitRefusedError: a column is to be added or allowed nulls, and other writers won every attempt.
        NoDeltaTableError, ProtocolTooNewError, ServiceDownError, StoreDeniedError: as `open_table`.
    """
    contract = table(name)
    exists = table_exists(settings, name)
    require_own(settings)
    if not exists:
        _require_free(settings, name)
        try:
            DeltaTable.create(
                settings.table_path(name),
                arrow_schema(contract),
                mode="error",
                partition_by=list(contract.partition_by),
                configuration=PROPERTIES,
                storage_options=settings.delta_storage_options(),
            )
        except (DeltaError, OSError):
            if not table_exists(settings, name):
                raise
    return _with_all_columns(settings, contract)


def _with_all_columns(settings: Settings, contract: TableContract) -> DeltaTable:
    """Opens the table; first adds the columns that its contract has gained, for which rows that are there read null,
    and allows the nulls that it has come to allow: delta-rs does both by adding the column, and a nullable one wins.

    Such a commit makes others' commits under way fail, which are computed anew. Of two that add one column, the one
    that comes late finds it there.
    """
    for _ in range(_ATTEMPTS):
        opened = open_table(settings, contract.name)
        outgrown = outgrown_columns(opened, contract)
        if not outgrown:
            return opened
        try:
            opened.alter.add_columns(
                [Field(column.name, PrimitiveType(column.type), nullable=True) for column in outgrown],
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except (DeltaError, OSError) as error:
            last_error = error
    opened = open_table(settings, contract.name)
    if outgrown_columns(opened, contract):
        raise CommitRefusedError(contract.name, _ATTEMPTS) from last_error
    return opened


def _require_free(settings: Settings, name: str) -> None:
    """Raises NoDeltaTableError if something else lies where the table should."""
    path = settings.table_path(name)
    found = any_object(settings, path)
    # A table that another has created in the meantime has a log.
    if found is not None and not table_exists(settings, name):
        raise NoDeltaTableError(name, path, found)


def require_minio(settings: Settings) -> None:
    """Raises ServiceDownError unless MinIO's port answers: delta-rs would try in vain for seconds first."""
    try:
        socket.create_connection((settings.host, settings.minio_port), timeout=2).close()
    except OSError:
        raise ServiceDownError("minio", settings.s3_endpoint) from None


@contextmanager
def _explained(settings: Settings, name: str) -> Iterator[None]:
    """Says of an answer 403, of a missing bucket and of a feature that delta-rs lacks what it means here."""
    try:
        yield
    except OSError as error:
        if "403 Forbidden" in str(error):
            raise StoreDeniedError(settings.s3_endpoint, settings.credentials_file) from None
        if "NoSuchBucket" in str(error):
            raise BucketMissingError(settings.bucket, settings.s3_endpoint) from None
        raise
    except DeltaError as error:
        if "Unsupported" not in str(error):
            raise
        reason = str(error).splitlines()[0].removeprefix("Kernel error: ")
        raise ProtocolTooNewError(name, settings.table_path(name), reason) from None
