"""Opening and creating the Delta table of a contract."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.tables import table
from lakehouse.delta.describe import newest_first
from lakehouse.delta.errors import StoreDeniedError, TableMissingError, VersionMissingError
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

PROPERTIES: Final = {
    "delta.minReaderVersion": "1",
    "delta.minWriterVersion": "2",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 7 days",
}
"""Of every table, whoever creates it: no table features, and 7 days of history to read and to undo in."""


def open_table(
    settings: Settings, name: str, version: int | None = None, timestamp: datetime | None = None
) -> DeltaTable:
    """The table `name` at its newest version, at `version`, or as it was at `timestamp` (with a zone).

    Raises:
        UnknownTableError: no contract declares it.
        TableMissingError: nobody has written it yet.
        VersionMissingError: it has no such version, or didn't exist at that time.
        ServiceDownError: MinIO doesn't answer.
        StoreDeniedError: MinIO doesn't know our access key.
    """
    contract = table(name)
    require_minio(settings)
    try:
        with _explained(settings):
            opened = DeltaTable(settings.table_path(name), storage_options=settings.delta_storage_options())
    except TableNotFoundError:
        raise TableMissingError(contract) from None
    newest = opened.version()
    if timestamp is not None:
        version = _version_at(opened, timestamp)
        if version is None:
            raise VersionMissingError(name, timestamp, newest)
    if version is not None and version != newest:
        try:
            opened.load_as_version(version)
        except (DeltaError, OverflowError):
            raise VersionMissingError(name, version, newest) from None
    return opened


def _version_at(newest: DeltaTable, timestamp: datetime) -> int | None:
    """The newest version committed at or before `timestamp`.

    delta-rs can load a table by time, but takes a neighbouring version at times *(tried: 1.6, versions within a
    second of each other)*, and the oldest for a time before it.
    """
    return next((commit.version for commit in newest_first(newest) if commit.at <= timestamp), None)


def table_exists(settings: Settings, name: str) -> bool:
    """Whether the table `name` was created, empty or not."""
    table(name)
    require_minio(settings)
    with _explained(settings):
        return bool(DeltaTable.is_deltatable(settings.table_path(name), settings.delta_storage_options()))


def create_table(settings: Settings, name: str) -> DeltaTable:
    """Creates the table by its contract unless it exists, and opens it.

    Two creators at once are harmless: both write version 0 by conditional put, one wins, the other opens it.
    """
    contract = table(name)
    if not table_exists(settings, name):
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
    return open_table(settings, name)


def require_minio(settings: Settings) -> None:
    """Raises ServiceDownError unless MinIO's port answers: delta-rs would try in vain for seconds first."""
    try:
        socket.create_connection((settings.host, settings.minio_port), timeout=2).close()
    except OSError:
        raise ServiceDownError("minio", settings.s3_endpoint) from None


@contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Says of an answer 403 what it means here."""
    try:
        yield
    except OSError as error:
        if "403 Forbidden" not in str(error):
            raise
        raise StoreDeniedError(settings.s3_endpoint, settings.credentials_file) from None
