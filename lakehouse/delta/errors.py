"""What can be wrong with a Delta table, and what to do about it."""

from datetime import datetime
from pathlib import Path

from lakehouse.contracts.tables import TableContract


class TableMissingError(LookupError):
    """A declared table was never written."""

    def __init__(self, contract: TableContract) -> None:
        super().__init__(f"{contract.name} has not been written yet; {contract.owner} writes it")
        self.table = contract.name


class VersionMissingError(LookupError):
    """The table has no such version: it isn't written yet, or its log was cleaned after 7 days."""

    def __init__(self, table: str, asked: int | datetime, newest: int) -> None:
        what = f"version {asked}" if isinstance(asked, int) else f"version as of {asked.isoformat()}"
        super().__init__(f"{table} has no {what}; its newest version is {newest}, and history is kept for 7 days")
        self.table = table


class StoreDeniedError(PermissionError):
    """MinIO answers, and doesn't know our access key."""

    def __init__(self, endpoint: str, credentials_file: Path) -> None:
        super().__init__(
            f"MinIO at {endpoint} refuses the access key of {credentials_file}; "
            f"does another installation hold that port? LAKEHOUSE_PORT_BASE moves this one"
        )


class CommitRefusedError(RuntimeError):
    """Other writers won every attempt."""

    def __init__(self, table: str, attempts: int) -> None:
        super().__init__(f"{table}: {attempts} attempts to commit met another writer's commit; try again later")
        self.table = table
