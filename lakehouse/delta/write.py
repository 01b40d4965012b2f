"""Writing to a Delta table with delta-rs: every write happens once, also when the store's answer is lost."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from lakehouse.contracts.arrow import arrow_schema, polars_schema
from lakehouse.contracts.tables import table
from lakehouse.delta.errors import CommitRefusedError, OvertakenError, StoreFailingError, TableMissingError
from lakehouse.delta.installations import require_own
from lakehouse.delta.notes import Said
from lakehouse.delta.schemas import padded
from lakehouse.delta.tables import create_table, open_table
from lakehouse.settings import Settings

ATTEMPTS: Final = 8
_PAUSE_SECONDS: Final = 0.2
_MARK: Final = "writeMark"
"""Beside `userMetadata` in a commit."""

Attempt = Callable[[DeltaTable, CommitProperties], object]
"""One try to commit to the opened table, with these properties."""


@dataclass(frozen=True, slots=True)
class Once:
    """Makes a write happen once.

    With a `version`, by its name: a table that has seen this or a later version of `app_id` takes it no more, whoever
    wrote it. Without, by a mark in the commit that no other write has; the transaction's version is then the commit's
    own, so that the last write of an `app_id` is found by it, and one id does for all of them: a new one for each would
    stay in the table's log for ever.

    `check` is called with the table before each attempt. The commit follows that very version, so what was found there
    still holds; what `check` raises ends the write. `positions`: further transactions of the commit, by application.
    """

    app_id: str
    version: int | None = 0
    check: Callable[[DeltaTable], None] = lambda _opened: None
    positions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def new(cls, purpose: str) -> "Once":
        """For a write that nobody will repeat under the same name."""
        return cls(f"{purpose}/{uuid.uuid4()}")

    @classmethod
    def after(cls, opened: DeltaTable, app_id: str) -> "Once":
        """For the next write of a table's one owner, computed from the table as it is opened.

        The write raises OvertakenError if somebody else has committed as this owner in the meantime.
        """
        last = opened.transaction_version(app_id)

        def check(now: DeltaTable) -> None:
            newer = now.transaction_version(app_id)
            if newer != last:
                raise OvertakenError(now.table_uri, app_id, int(opened.version()), int(now.version()))

        return cls(app_id, None, check)


def append(settings: Settings, name: str, rows: pa.Table, once: Once, note: Said | None = None) -> int:
    """Adds `rows`, creating the table if need be; returns the version that holds them.

    Raises:
        CommitRefusedError: other writers won every attempt.
        StoreFailingError: MinIO answers with errors only.
        DeltaError: the rows break the contract (a null where none may be, another type).
    """
    return commit_once(
        settings,
        name,
        once,
        lambda opened, properties: write_deltalake(
            opened, padded(rows, opened), mode="append", commit_properties=properties
        ),
        note,
    )


def replace_days(
    settings: Settings,
    name: str,
    days: Collection[date],
    rows: pa.Table,
    once: Once,
    note: Said | None = None,
) -> int:
    """Makes `rows` the whole content of the partitions `days`, in one commit; returns the version that holds them.

    Other days stay as they are; a row of another day among `rows` is refused. Raises ValueError for no days, and
    what `append` raises.
    """
    if not days:
        raise ValueError(f"no day of {name} to replace")
    listed = ", ".join(f"'{day.isoformat()}'" for day in sorted(days))
    return _replace(settings, name, rows, once, note, f"{table(name).day} IN ({listed})")


def replace_all(settings: Settings, name: str, rows: pa.Table, once: Once, note: Said | None = None) -> int:
    """Makes `rows` the whole content of the table, in one commit; returns the version that holds them.

    Raises what `append` raises.
    """
    return _replace(settings, name, rows, once, note, "true")


def append_ops(settings: Settings, name: str, rows: Iterable[Mapping[str, Any]], once: Once | None = None) -> int:
    """Appends plain rows (datetimes with a zone) to an ``ops`` table; returns the version that holds them.

    `once` for a task that may be repeated as a whole; without it each call adds its rows.
    """
    frame = pl.DataFrame(list(rows), schema=polars_schema(table(name)), orient="row")
    return append(settings, name, to_arrow(name, frame), once or Once.new(name))


def time_of_next(settings: Settings, name: str, column: str) -> datetime:
    """Now, for the `column` of the next rows of an ``ops`` table; later than in all its rows.

    Several processes, perhaps on several machines, append to it, and readers take the newest by this time. A clock that
    ran ahead once would make its row the newest for as long; the rows after it follow it instead. By the statistics in
    the log, which know milliseconds.
    """
    now = datetime.now(UTC)
    try:
        files = pa.table(open_table(settings, name).get_add_actions(flatten=True))
    except TableMissingError:
        return now
    newest = pc.max(files[f"max.{column}"]).as_py() if f"max.{column}" in files.column_names else None
    return now if newest is None else max(now, newest + timedelta(milliseconds=1))


def to_arrow(name: str, frame: pl.DataFrame) -> pa.Table:
    """`frame` by the table's contract: columns in order, exact types, nulls only where declared."""
    schema = arrow_schema(table(name))
    return frame.select(schema.names).to_arrow().cast(schema)


def _replace(settings: Settings, name: str, rows: pa.Table, once: Once, note: Said | None, replaced: str) -> int:
    """Puts `rows` in place of those for which the predicate `replaced` holds."""

    def attempt(opened: DeltaTable, properties: CommitProperties) -> None:
        content = padded(rows, opened)
        write_deltalake(opened, content, mode="overwrite", predicate=replaced, commit_properties=properties)

    return commit_once(settings, name, once, attempt, note)


def commit_once(
    settings: Settings,
    name: str,
    once: Once,
    attempt: Attempt,
    note: Said | None = None,
    opened: DeltaTable | None = None,
) -> int:
    """Lets `attempt` commit to the table `name`, until it has once; returns the version that holds the commit.

    The first attempt is given the table as it is `opened`; without, it is opened, and created if need be. Called again
    after another writer's commit, `attempt` must compute anew from the table that it is given.
    Raises CommitRefusedError when other writers won every attempt, StoreFailingError when the store failed at each
    (its client repeats a request ten times by itself), and what `once.check` and `attempt` raise otherwise.

    Why one commit and not two: delta-rs accepts one transaction id twice, and takes its own commit, whose
    answer was lost, for a stranger's. So it gets a single try at a time (`max_commit_retries=0`), at the version after
    the opened one; after each that failed the table is opened anew, and tells whether it had succeeded: by the
    transaction's version, or by the mark of the commit at that place. A stranger's commit has another mark, though it
    may have the same transaction.
    """
    mark = str(uuid.uuid4())
    said = {"userMetadata": note.text} if note else {}
    if opened is None:
        opened = create_table(settings, name)
    else:
        require_own(settings)
    tried = -1
    for number in range(ATTEMPTS):
        if number:
            time.sleep(_PAUSE_SECONDS * number)
            opened = open_table(settings, name)
        if _landed(opened, once, mark, tried):
            return int(opened.version())
        once.check(opened)
        tried = int(opened.version()) + 1
        properties = CommitProperties(
            app_transactions=[
                Transaction(once.app_id, tried if once.version is None else once.version),
                *(Transaction(app_id, version) for app_id, version in once.positions.items()),
            ],
            custom_metadata={**said, _MARK: mark},
            max_commit_retries=0,
        )
        try:
            attempt(opened, properties)
        except CommitFailedError as error:
            last_error: Exception = error
        except (OSError, DeltaError) as error:
            if not _of_store(error):
                raise
            last_error = error
        else:
            return tried
    opened = open_table(settings, name)
    if _landed(opened, once, mark, tried):
        return int(opened.version())
    if _of_store(last_error):
        raise StoreFailingError(name, settings.s3_endpoint, last_error) from last_error
    raise CommitRefusedError(name, ATTEMPTS) from last_error


def _landed(opened: DeltaTable, once: Once, mark: str, tried: int) -> bool:
    """Whether the write is in the table: by its name, or as the commit at the version `tried` (-1: none was)."""
    if once.version is not None:
        seen = opened.transaction_version(once.app_id)
        return seen is not None and seen >= once.version
    newest = int(opened.version())
    return 0 <= tried <= newest and opened.history(newest - tried + 1)[-1].get(_MARK) == mark


def _of_store(error: Exception) -> bool:
    """Whether it is the store that failed: of commits delta-rs says so by an OSError, of data files in words."""
    return isinstance(error, OSError) or "S3 error" in str(error)
