"""What can be wrong with a Delta table, and what to do about it."""

import re
from datetime import datetime
from pathlib import Path

from lakehouse.contracts.columns import TableContract


class TableError(Exception):
    """Something about a table that its caller can't help and an operator can; the message says what to do."""


class TableMissingError(TableError, LookupError):
    """A declared table was never written."""

    def __init__(self, contract: TableContract) -> None:
        super().__init__(f"{contract.name} has not been written yet; {contract.owner} writes it")
        self.table = contract.name


class VersionMissingError(TableError, LookupError):
    """The table has no such version, or had none at that time: it isn't written yet, or no longer kept after 7 days.

    `why` says which, where it is known.
    """

    def __init__(self, table: str, asked: int | datetime, newest: int, why: str | None = None) -> None:
        what = f"version {asked}" if isinstance(asked, int) else f"version as of {asked.isoformat()}"
        why = why or f"its newest version is {newest}, and history is kept for 7 days"
        super().__init__(f"{table} has no {what}; {why}")
        self.table = table


class StoreDeniedError(TableError, PermissionError):
    """MinIO answers, and doesn't know our access key."""

    def __init__(self, endpoint: str, credentials_file: Path) -> None:
        super().__init__(
            f"MinIO at {endpoint} refuses the access key of {credentials_file}; "
            f"does another installation hold that port? LAKEHOUSE_PORT_BASE moves this one"
        )


class BucketMissingError(TableError):
    """MinIO answers, and has no bucket of the name that ours has."""

    def __init__(self, bucket: str, endpoint: str) -> None:
        super().__init__(
            f"MinIO at {endpoint} has no bucket {bucket}: "
            f"`lakehouse up minio` makes the one that LAKEHOUSE_BUCKET names"
        )


class StoreFailingError(TableError):
    """MinIO answers with errors, or loses connections, for longer than its client tries by itself."""

    def __init__(self, table: str, endpoint: str, reason: Exception) -> None:
        # delta-rs draws its chain of causes in colours, over several lines.
        plain = " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", "", str(reason)).split())
        super().__init__(
            f"{table}: MinIO at {endpoint} fails: {plain[:500]}; nothing was committed, repeat when it works again"
        )
        self.table = table


class CommitRefusedError(TableError, RuntimeError):
    """Other writers won every attempt."""

    def __init__(self, table: str, attempts: int) -> None:
        super().__init__(f"{table}: {attempts} attempts to commit met another writer's commit; try again later")
        self.table = table


class OvertakenError(TableError, RuntimeError):
    """Somebody else has written as the table's one owner since the write was computed; what they wrote stays."""

    def __init__(self, table: str, app_id: str, computed_from: int, newest: int) -> None:
        super().__init__(
            f"{table}: another process has committed as {app_id} between version {computed_from}, from which this "
            f"write was computed, and version {newest}. Nothing was written; what repeats it computes it anew. "
            f"A table's owner runs only once: see `lakehouse job status`"
        )


class NoDeltaTableError(TableError):
    """Where the table should lie there are files, and no Delta log."""

    def __init__(self, table: str, path: str, found: str) -> None:
        super().__init__(
            f"{path} is no Delta table: it holds {found} and no _delta_log; move away what is not {table}, "
            f"then start again what writes it"
        )
        self.table = table


class ProtocolTooNewError(TableError):
    """The table uses features that this installation's engines don't have."""

    def __init__(self, table: str, path: str, reason: str) -> None:
        super().__init__(
            f"{table} at {path} is of a newer Delta protocol than reader 1, writer 2 ({reason}): "
            f"drop the feature with the engine that turned it on (ALTER TABLE ... DROP FEATURE), or restore a copy"
        )
        self.table = table


class SchemaMismatchError(TableError):
    """A stored table has columns that its contract's rows don't fit."""

    def __init__(self, table: str, path: str, differences: list[str]) -> None:
        super().__init__(
            f"{table} at {path} does not fit its contract: {'; '.join(differences)}. Only a nullable column can be "
            f"added to a table, and nulls allowed in one; for everything else move the table away and rebuild it"
        )
        self.table = table


class RestoreRefusedError(TableError):
    """A table can't be put back to an earlier version without harm; the message says why."""
