"""Putting a table back to an earlier version, without losing what nobody would write again.

RESTORE changes which files a table has, and not which transactions it has seen: after it, a stream's batch that it took
away still counts as written (`txn`), and Kafka's offsets are past it in the stream's checkpoint. So a table that grows
by insertion only is never put back to where rows are missing. One that is recomputed from others may be: its commit
names the sources' versions that the old content was computed from, so that whoever asks finds it outdated, and who
follows them goes on from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError

from lakehouse.contracts.columns import TableContract
from lakehouse.contracts.tables import TABLES, table
from lakehouse.delta import notes
from lakehouse.delta.describe import versions_read
from lakehouse.delta.errors import RestoreRefusedError, TableMissingError
from lakehouse.delta.files import Source
from lakehouse.delta.layout import Files
from lakehouse.delta.read import scan_opened
from lakehouse.delta.tables import open_table
from lakehouse.delta.write import Once, commit_once
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Restored:
    """`version`: the new one, whose content is that of `target`; `days`: first and last of those that differ from what
    was there before; None for a table without days, or without a difference."""

    table: str
    target: int
    version: int
    changed: bool
    days: tuple[date, date] | None


def restore(
    settings: Settings, name: str, version: int | None = None, timestamp: datetime | None = None, by: str = ""
) -> Restored:
    """Makes the table's content that of an earlier version, or of a time, in one new commit; nothing is deleted.

    The table's owner must not be running: see `lakehouse.runtime.owners`.

    Raises:
        RestoreRefusedError: rows would be lost that nobody writes again, or the version's files are gone.
        VersionMissingError, TableMissingError, ...: as `open_table`.
    """
    contract = table(name)
    target, newest = open_table(settings, name, version, timestamp), open_table(settings, name)
    wanted, held = int(target.version()), int(newest.version())
    if target.metadata().partition_columns != newest.metadata().partition_columns:
        raise RestoreRefusedError(
            f"version {wanted} of {name} is of before the change-over to the follower, and lies in partitions: read it "
            f"with `lakehouse table read {name} --version {wanted}`, or replay the days that are wrong"
        )
    if contract.insert_only and (missing := _missing(settings, contract, target, newest)):
        raise RestoreRefusedError(
            f"version {wanted} of {name} lacks {missing:,} rows that version {held} has. {contract.owner} has written "
            f"them once and will not again, so they would be lost; read the old version with "
            f"`lakehouse table read {name} --version {wanted}` instead"
        )
    before, after = (Files(opened).days(contract.day) for opened in (newest, target))
    changed = [before.get(path) or after.get(path) for path in before.keys() ^ after.keys()]
    note = notes.Restored(restored=wanted, by=by, read_versions=versions_read(newest, wanted))
    once = replace(Once.new(f"restore/{name}"), positions=_positions(settings, contract, target, newest))

    def attempt(opened: DeltaTable, properties: CommitProperties) -> None:
        opened.restore(wanted, commit_properties=properties)

    with _files_kept(name, wanted):
        committed = commit_once(settings, name, once, attempt, note)
    spans = [span for span in changed if span is not None]
    days = (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
    return Restored(name, wanted, committed, bool(changed), days)


def _positions(settings: Settings, contract: TableContract, target: DeltaTable, newest: DeltaTable) -> dict[str, int]:
    """How far a table that follows others had read them, so that it follows again from there; -1: it had not."""
    found = {}
    for name in filter(TABLES.__contains__, contract.reads):
        try:
            source = Source.of(name, open_table(settings, name))
        except TableMissingError:
            continue
        if source.position(newest) is not None:
            read = source.position(target)
            found[source.app_id] = -1 if read is None else read
    return found


def _missing(settings: Settings, contract: TableContract, target: DeltaTable, newest: DeltaTable) -> int:
    """How many rows the newest version has beyond the target, by the table's key."""
    key = list(contract.key)
    held = scan_opened(settings, contract.name, newest).select(key)
    kept = scan_opened(settings, contract.name, target).select(key)
    with _files_kept(contract.name, int(target.version())):
        return int(held.join(kept, on=key, how="anti").select(pl.len()).collect(engine="streaming").item())


@contextmanager
def _files_kept(name: str, version: int) -> Iterator[None]:
    """Says of a missing file what it means here."""
    try:
        yield
    except (DeltaError, FileNotFoundError) as error:
        if isinstance(error, DeltaError) and "missing file" not in str(error):
            raise
        raise RestoreRefusedError(
            f"files of version {version} are gone from {name}: what left the table over 7 days ago is removed"
        ) from None
