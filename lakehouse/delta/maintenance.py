"""Keeping tables small to read: compaction of small files, and removal of files and log entries past their time.

All of it is safe while the table's owner writes. Compaction rearranges rows and changes none; such a commit meets
another's in one of two ways. Who only adds isn't concerned. Who replaced a file that was being compacted wins, and
compaction is computed anew from what stands there; in the other order the owner computes anew. Removal concerns only
files that are 7 days old and that no version of the last 7 days holds: a reader of a pinned version keeps its files for
as long, and so does a writer whose commit is under way.

A file is removed though somebody commits it afterwards only if 7 days lie between its writing and its commit. Spark and
delta-rs write and commit within one call: what they can't commit they write anew, and a repeated batch does too. Flink
may name old files, those of a commit that is pending in a savepoint: its sink looks whether they are there, and gives
old ones new names (`PendingFiles` in `connectors/`). Staged rows of replays lie in tables of their own, which nobody
vacuums, and undo and restore refuse a version whose files are gone.

Versions that are `needed`, however old, keep their files and what the log says of them (`lakehouse.upkeep` knows them).
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from lakehouse.contracts.tables import table
from lakehouse.delta.describe import extent
from lakehouse.delta.errors import OvertakenError, VersionMissingError
from lakehouse.delta.files import commit_files, read_files, write_files
from lakehouse.delta.installations import require_own
from lakehouse.delta.layout import Files, cut
from lakehouse.delta.tables import PROPERTIES, open_table
from lakehouse.settings import Settings

TARGET_BYTES: Final = 128 * 1024 * 1024
"""Files are joined up to this size."""
ATTEMPTS: Final = 3
SETTLED_AFTER: Final = timedelta(seconds=30)
"""Files that are younger are left to their owner."""
ROWS_AT_ONCE: Final = 1_000_000
"""So many are cut anew in one run, in memory."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What compacting a table did. `version`: of its commit; None without one, because nothing was to be joined, or,
    with `beaten`, because other writers replaced what it read every time. Then nothing has changed, and the next run
    tries again."""

    table: str
    version: int | None
    files_before: int
    files_after: int
    beaten: bool = False


@dataclass(frozen=True, slots=True)
class Vacuuming:
    """`files`: those that no version of the last 7 days holds, and those that killed writers left, removed unless it
    was a dry run."""

    table: str
    files: int


def compact(settings: Settings, name: str, target_bytes: int = TARGET_BYTES) -> Compaction:
    """Joins the small files of each partition in one commit that changes no data (``dataChange=false``): a reader of
    the table as a stream sees nothing of it. Of a table that is cut by a column, those of one hour, and of several.
    Raises ForeignTablesError, and what `open_table` raises."""
    if (column := table(name).cut_by) is not None:
        return _cut_anew(settings, name, column)
    for _ in range(ATTEMPTS):
        opened = _open(settings, name)
        read, before = opened.version(), extent(opened).files
        try:
            joined = opened.optimize.compact(
                target_size=target_bytes,
                max_concurrent_tasks=settings.parallelism,
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except CommitFailedError:
            continue
        if not joined["numFilesRemoved"]:
            return Compaction(name, None, before, before)
        after = before - joined["numFilesRemoved"] + joined["numFilesAdded"]
        return Compaction(name, max(int(opened.version()), read + 1), before, after)
    return Compaction(name, None, before, before, beaten=True)


def _cut_anew(settings: Settings, name: str, column: str) -> Compaction:
    for _ in range(ATTEMPTS):
        opened = _open(settings, name)
        files = Files(opened)
        before, settled = len(files.paths), datetime.now(UTC) - SETTLED_AFTER
        scattered: list[str] = []
        for group in files.scattered(column, settled):
            scattered += group if sum(files.rows[path] for path in scattered) < ROWS_AT_ONCE else []
        if not scattered:
            return Compaction(name, None, before, before)
        joined = write_files(settings, name, cut(read_files(settings, name, scattered), column))
        with suppress(OvertakenError):
            version = commit_files(settings, name, opened, joined, scattered, None, app_id="compaction", same_rows=True)
            return Compaction(name, version, before, before - len(scattered) + len(joined))
    return Compaction(name, None, before, before, beaten=True)


def vacuum(settings: Settings, name: str, *, needed: Collection[int] = frozenset(), dry_run: bool = False) -> Vacuuming:
    """Removes data files that left the table more than 7 days ago, by the table's own setting, or never got into it.

    Those that a `needed` version holds stay. A writer's files of a commit under way are younger than that.

    Raises as `compact`.
    """
    kept = [version for version in sorted(needed) if _is_there(settings, name, version)]
    # delta-rs 1.6 takes every removal that the log has, though the file may have come back and left the table again
    # since: it removes what it must keep, or sends a name twice, which MinIO answers without a name, and that is an
    # error. A checkpoint holds each file's last removal alone.
    _open(settings, name).create_checkpoint()
    # All that lies there is compared with the log. Without `full`, delta-rs takes only what was removed since the last
    # checkpoint of the log.
    return Vacuuming(name, len(_open(settings, name).vacuum(dry_run=dry_run, full=True, keep_versions=kept)))


def _is_there(settings: Settings, name: str, version: int) -> bool:
    try:
        open_table(settings, name, version)
    except VersionMissingError:
        return False
    return True


def trim_log(settings: Settings, name: str, *, needed: Collection[int] = frozenset()) -> None:
    """Writes a checkpoint of the log and removes entries older than 7 days that it makes superfluous; none that the
    oldest `needed` version or a later one is read by.

    Raises as `compact`.
    """
    newest = int(_open(settings, name).version())
    oldest = min((version for version in needed if _is_there(settings, name, version)), default=newest)
    # delta-rs trims below the version that is open, if that has a checkpoint.
    opened = open_table(settings, name, oldest)
    opened.create_checkpoint()
    opened.cleanup_metadata()
    if oldest < newest:  # where who opens the table begins to read
        _open(settings, name).create_checkpoint()


def maintain(settings: Settings, name: str, needed: Collection[int] = frozenset()) -> dict[str, Any]:
    """All three; what they did, for a log. Raises as `compact`."""
    _trim_alone(settings, name)
    compaction, removed = compact(settings, name), vacuum(settings, name, needed=needed)
    trim_log(settings, name, needed=needed)
    return asdict(compaction) | {"files_removed": removed.files}


def _trim_alone(settings: Settings, name: str) -> None:
    """A table that was made before it was said so is told now that its writers are not to trim its log."""
    alone, opened = "delta.enableExpiredLogCleanup", _open(settings, name)
    if opened.metadata().configuration.get(alone) != PROPERTIES[alone]:
        opened.alter.set_table_properties({alone: PROPERTIES[alone]})


def _open(settings: Settings, name: str) -> DeltaTable:
    require_own(settings)
    return open_table(settings, name)
