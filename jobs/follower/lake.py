"""The tables that a follower reads and writes: each opened once and kept up, its newest files kept in memory."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from jobs.follower.parts import Part, Ranges, Slice
from jobs.rust_engines.transactions import typed
from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import table
from lakehouse.delta import VersionMissingError, create_table, open_table
from lakehouse.delta.difference import Difference, Rewrite, difference
from lakehouse.delta.files import Source, commit_files, read_each, write_files
from lakehouse.delta.layout import Files, cut
from lakehouse.delta.log import commit_at, rewrites
from lakehouse.delta.notes import Caused
from lakehouse.settings import Settings

CACHED_BYTES: Final = 200 << 20
"""Of files just written, which the tables that follow read next. A file never changes."""
KEPT_VERSIONS: Final = 3
KEPT_REWRITES: Final = 1_000
"""How much of tables' past is kept in mind, which several tables follow."""
APP_ID: Final = "follower"
SIGN: Final = "_sign"
FILE: Final = "_file"


@dataclass(frozen=True, slots=True)
class News:
    """What has become of a source since it was read last, up to its version `until`; None: everything is new, or
    nobody can tell what isn't. `since`: the version that was read last."""

    source: Source
    until: int
    difference: Difference | None
    since: int | None = None


@dataclass(slots=True)
class Lake:
    """`followed`, `ingested`: what the names of tables that it writes, and of bronze, have beyond those of the tables
    that they are variants of. Callers name tables without it."""

    settings: Settings
    followed: str = ""
    ingested: str = ""
    _opened: dict[str, DeltaTable] = field(default_factory=dict)
    _files: dict[tuple[str, int], Files] = field(default_factory=dict)
    _rewrites: dict[tuple[str, int], Rewrite | None] = field(default_factory=dict)
    _cached: "OrderedDict[str, pl.DataFrame]" = field(default_factory=OrderedDict)
    _cached_bytes: int = 0

    def stored(self, name: str) -> str:
        """Under which name the table is kept."""
        return name + (self.followed if name in DERIVED else self.ingested)

    def opened(self, name: str) -> DeltaTable:
        """As it was when it was last refreshed, or when this process committed to it last. Of those that a follower
        writes, one that doesn't exist is created. Raises what `lakehouse.delta.open_table` and `create_table` raise."""
        if name not in self._opened:
            make = create_table if name in DERIVED else open_table
            self._opened[name] = make(self.settings, self.stored(name))
        return self._opened[name]

    def refresh(self, name: str, *, by_name: bool = False) -> int:
        """Reads what others have committed to a table; returns its newest version.

        `by_name`: only if the log has the next entry, which costs the store the same however long the log is. An entry
        that was trimmed away meanwhile has no name to be found by.
        """
        if not by_name or commit_at(self.settings, self.stored(name), self.version(name) + 1):
            self.opened(name).update_incremental()
        return self.version(name)

    def version(self, name: str) -> int:
        return int(self.opened(name).version())

    def files(self, name: str) -> Files:
        """Of the version that is open."""
        at = (name, self.version(name))
        if at not in self._files:
            for older in [each for each in self._files if each[0] == name][:-KEPT_VERSIONS]:
                del self._files[older]
            self._files[at] = Files(self.opened(name))
        return self._files[at]

    def position(self, name: str, source: str) -> int | None:
        """The version of `source` up to which the log of table `name` says that it was read."""
        return Source.of(self.stored(source), self.opened(source)).position(self.opened(name))

    def news(self, name: str, source: str, known: int | None) -> News:
        """By which files `source` differs from what table `name` has read of it; `known`: more than its log says."""
        opened = self.opened(source)
        of, until = Source.of(self.stored(source), opened), int(opened.version())
        since = known if known is not None else of.position(self.opened(name))
        if since is None or since > until:
            return News(of, until, None)
        try:
            return News(of, until, self._difference(source, since, until), since)
        except VersionMissingError:
            return News(of, until, None)

    def _difference(self, source: str, since: int, until: int) -> Difference:
        if since == until:
            return Difference(frozenset(), frozenset())
        name = self.stored(source)
        if (source, since) in self._files:
            before = self._files[source, since]
        else:
            before = Files(open_table(self.settings, name, since))
        between = self._between(source, since, until)
        return difference(frozenset(before.paths), frozenset(self.files(source).paths), between)

    def passed(self, name: str, since: int, until: int) -> frozenset[str] | None:
        """Files that a commit after `since` has brought and a later one up to `until` has taken away, where rows were
        taken away at all; None: nobody can tell any more."""
        known = self._between(name, since, until)
        if len(known) < until - since:
            return None
        if not any(each.data_change and each.removed for each in known):
            return frozenset()
        brought = frozenset[str]().union(*(each.added for each in known))
        return brought & frozenset[str]().union(*(each.removed for each in known)) - frozenset(self.files(name).paths)

    def _between(self, name: str, since: int, until: int) -> list[Rewrite]:
        """What is known of the commits after one version up to another."""
        between = (self._rewrite(name, version) for version in range(since + 1, until + 1))
        return [each for each in between if each is not None]

    def _rewrite(self, name: str, version: int) -> Rewrite | None:
        """What a commit did to files; None where the log no longer says."""
        at = (name, version)
        if at not in self._rewrites:
            self._rewrites[at] = next(iter(rewrites(self.settings, self.stored(name), [version])), None)
            if len(self._rewrites) > KEPT_REWRITES:
                del self._rewrites[next(iter(self._rewrites))]
        return self._rewrites[at]

    def read_each(
        self, name: str, paths: Collection[str], columns: Collection[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Rows by data file, `columns` in the order of the contract, all by default."""
        stored = self.stored(name)
        wanted = [c for c in table(stored).column_names if columns is None or c in columns]
        held = {path: self._cached[path].select(wanted) for path in paths if path in self._cached}
        return held | read_each(self.settings, stored, [path for path in paths if path not in held], wanted)

    def read(self, name: str, paths: Collection[str], columns: Collection[str] | None = None) -> pl.DataFrame:
        """The same as one frame."""
        return pl.concat([self.empty(name, columns), *self.read_each(name, paths, columns).values()])

    def part_of(
        self,
        name: str,
        paths: Collection[str],
        columns: Collection[str],
        *,
        ranges: Ranges | None = None,
        time: str | None = None,
        only: Mapping[str, str] | None = None,
        slice: Slice | None = None,
    ) -> Part:
        """Rows of files of the version that is open; see `Part`."""
        stored, counts = self.stored(name), self.files(name).rows
        ordered = [c for c in table(stored).column_names if c in columns]
        rows = sum(counts[path] for path in paths)
        return Part(name, sorted(paths), rows, ordered, ranges, time, only or {}, slice)

    def part(self, part: Part, *, located: bool = False) -> pl.DataFrame:
        """The rows of a part; `located`: with the file that holds each (`FILE`)."""
        read = self.located if located else self.read
        if not part.slice:
            return part.among(read(part.table, part.paths, part.columns))
        found = (part.among(read(part.table, [path], part.columns)) for path in part.paths)
        return pl.concat([read(part.table, [], part.columns), *found])

    def located(self, name: str, paths: Collection[str], columns: Collection[str]) -> pl.DataFrame:
        """The same, with the file that holds each row (`FILE`)."""
        found = self.read_each(name, paths, columns).items()
        none = self.empty(name, columns).with_columns(pl.lit(None, pl.String).alias(FILE))
        return pl.concat([none, *(rows.with_columns(pl.lit(path).alias(FILE)) for path, rows in found)])

    def empty(self, name: str, columns: Collection[str] | None = None) -> pl.DataFrame:
        """No rows of a table."""
        types = polars_schema(table(self.stored(name)))
        return pl.DataFrame(schema={c: t for c, t in types.items() if columns is None or c in columns})

    def changed(self, name: str, by: Difference, columns: Collection[str]) -> pl.DataFrame:
        """Rows, by these columns, of which a source has more or fewer than before, and by how many (`SIGN`): those of
        the gained files less those of the lost ones. Raises FileNotFoundError: a lost file is gone."""
        gained = self.read(name, sorted(by.gained), columns).with_columns(pl.lit(1).alias(SIGN))
        if not by.lost:
            return gained
        lost = self.read(name, sorted(by.lost), columns).with_columns(pl.lit(-1).alias(SIGN))
        counted = pl.concat([gained, lost]).group_by(pl.exclude(SIGN)).agg(pl.sum(SIGN))
        return counted.filter(pl.col(SIGN) != 0)

    def write(self, name: str, rows: pl.DataFrame, *, keep: bool = True) -> list[AddAction]:
        """Puts `rows` into the store in files cut for the table; nothing shows them until they are committed.

        `keep`: in memory, too, as they are read next.
        """
        self.opened(name)  # files without a table are taken for somebody else's
        stored = self.stored(name)
        frames = [typed(stored, each) for each in cut(rows, table(stored).cut_by or table(stored).key[0])]
        written = write_files(self.settings, stored, frames)
        if keep:
            for add, frame in zip(written, (each for each in frames if each.height), strict=True):
                self._keep(add.path, frame)
        return written

    def commit(
        self,
        name: str,
        written: Collection[AddAction],
        removed: Iterable[str],
        note: Caused,
        read: Mapping[Source, int],
    ) -> int:
        """Adds what was `written`, removes files, and says how far was read; returns the version.

        Raises OvertakenError: another has committed since. The table is then open as that left it.
        """
        stored, opened = self.stored(name), self.opened(name)
        try:
            commit_files(self.settings, stored, opened, written, list(removed), note, read, APP_ID)
        finally:
            opened.update_incremental()
        return int(opened.version())

    def _keep(self, path: str, rows: pl.DataFrame) -> None:
        self._cached[path] = rows
        self._cached_bytes += int(rows.estimated_size())
        while self._cached_bytes > CACHED_BYTES:
            _, oldest = self._cached.popitem(last=False)
            self._cached_bytes -= int(oldest.estimated_size())
