"""A table that follows another one's log is what computing it anew gives, whatever has become of the other."""

import random
from collections.abc import Callable
from contextlib import suppress

import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable
from polars.testing import assert_frame_equal

from lakehouse.contracts.columns import Column, TableContract, Type
from lakehouse.contracts.tables import TABLES
from lakehouse.delta import (
    Once,
    OvertakenError,
    TableMissingError,
    VersionMissingError,
    append,
    create_table,
    open_table,
    scan_opened,
)
from lakehouse.delta.files import Source, commit_files, gained_and_lost, paths, read_files, write_files
from lakehouse.delta.maintenance import compact, vacuum
from lakehouse.delta.notes import Asked
from lakehouse.delta.write import commit_once, to_arrow
from lakehouse.object_store import build_client
from lakehouse.settings import Settings
from tests.lake import keep_nothing

THINGS = TableContract(
    "silver.things",
    "test",
    (Column("id", Type.LONG), Column("owner", Type.STRING), Column("amount", Type.LONG)),
    ("id",),
)
SUMS = TableContract(
    "gold.sums",
    "test",
    (Column("owner", Type.STRING), Column("amount", Type.LONG), Column("things", Type.LONG)),
    ("owner",),
    reads=("silver.things",),
)
OWNERS = ("ana", "bo", "émile", "zoé")
NOTE = Asked(job="test", scope="test")


class KilledError(Exception):
    """Stands for a kill: nothing that the process would have done after it is done."""


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for contract in (THINGS, SUMS):
        monkeypatch.setitem(TABLES, contract.name, contract)


def summed(things: pl.DataFrame) -> pl.DataFrame:
    """The definition."""
    return things.group_by("owner").agg(pl.sum("amount"), things=pl.len().cast(pl.Int64)).sort("owner")


class Follower:
    """One process: all that it knows when it starts is what the tables say."""

    def __init__(self, lake: Settings, killed_at: str = "") -> None:
        self._lake, self._killed_at = lake, killed_at
        self.anew = 0

    def reach(self, moment: str) -> None:
        if moment == self._killed_at:
            raise KilledError

    def cycle(self) -> None:
        things, sums = open_table(self._lake, THINGS.name), create_table(self._lake, SUMS.name)
        source, newest = Source.of(THINGS.name, things), int(things.version())
        since = source.position(sums)
        if since == newest:
            return
        scope = self.scope(since, things)
        rows = scan_opened(self._lake, THINGS.name, things).collect()
        held = {path: read_files(self._lake, SUMS.name, [path]) for path in paths(sums)}
        if scope is None:
            self.anew += 1
            removed, kept = list(held), pl.concat([read_files(self._lake, SUMS.name, [])])
        else:
            rows = rows.filter(pl.col("owner").is_in(scope))
            removed = [path for path, of in held.items() if of["owner"].is_in(scope).any()]
            kept = read_files(self._lake, SUMS.name, removed).filter(~pl.col("owner").is_in(scope))
        content = pl.concat([kept, summed(rows).select(kept.columns).cast(kept.schema)])
        self.reach("computed")
        added = write_files(self._lake, SUMS.name, [content])
        self.reach("written")
        commit_files(self._lake, SUMS.name, sums, added, removed, NOTE.reading({THINGS.name: newest}), {source: newest})
        self.reach("committed")

    def scope(self, since: int | None, things: DeltaTable) -> list[str] | None:
        """The owners whose rows have changed; None where nobody can tell."""
        if since is None:
            return None
        try:
            found = gained_and_lost(self._lake, THINGS.name, since, things)
            signed = [
                read_files(self._lake, THINGS.name, files).with_columns(sign=pl.lit(sign, pl.Int64))
                for files, sign in ((found.gained, 1), (found.lost, -1))
            ]
        except (VersionMissingError, OSError):
            return None
        counted = pl.concat(signed).group_by(THINGS.column_names).agg(pl.sum("sign"))
        return counted.filter(pl.col("sign") != 0)["owner"].unique().to_list()


class Life:
    """What becomes of a table, drawn by a seed."""

    def __init__(self, lake: Settings, draw: random.Random) -> None:
        self.lake, self.draw, self._ids = lake, draw, 0
        create_table(lake, THINGS.name)

    def step(self) -> None:
        steps: list[Callable[[], None]] = [
            self.insert,
            self.insert,
            self.correct,
            self.compact,
            self.restore,
            self.trim,
        ]
        self.draw.choice([*steps, self.vacuum, self.restore_sums])()

    def drawn(self, count: int) -> pl.DataFrame:
        rows = []
        for _ in range(count):
            self._ids += 1
            rows.append((self._ids, self.draw.choice(OWNERS), self.draw.randrange(100)))
        return pl.DataFrame(rows, schema={"id": pl.Int64, "owner": pl.String, "amount": pl.Int64}, orient="row")

    def insert(self) -> None:
        append(self.lake, THINGS.name, to_arrow(THINGS.name, self.drawn(self.draw.randrange(1, 4))), Once.new("test"))

    def correct(self) -> None:
        """Some files' rows as others, and some of them gone."""
        opened = open_table(self.lake, THINGS.name)
        chosen = [path for path in sorted(paths(opened)) if self.draw.random() < 0.4]
        rows = read_files(self.lake, THINGS.name, chosen)
        changed = rows.sample(fraction=0.8, seed=1).with_columns(amount=pl.col("amount") + self.draw.randrange(2))
        commit_files(self.lake, THINGS.name, opened, write_files(self.lake, THINGS.name, [changed]), chosen, NOTE)

    def compact(self) -> None:
        compact(self.lake, THINGS.name)

    def restore(self) -> None:
        opened = open_table(self.lake, THINGS.name)
        if (version := self.earlier(opened)) is not None and self.readable(version):
            opened.restore(version)

    def restore_sums(self) -> None:
        """With what it then had read of its source, which is less than it has now."""
        try:
            opened = open_table(self.lake, SUMS.name)
        except TableMissingError:
            return
        if (version := self.earlier(opened)) is None:
            return
        then = open_table(self.lake, SUMS.name, version)
        source = Source.of(THINGS.name, open_table(self.lake, THINGS.name))
        read = source.position(then)

        def attempt(now: DeltaTable, properties: CommitProperties) -> None:
            now.restore(version, commit_properties=properties)

        once = Once("test", None, positions={source.app_id: -1 if read is None else read})
        commit_once(self.lake, SUMS.name, once, attempt)

    def trim(self) -> None:
        """The log's entries below its newest checkpoint are gone, as after their retention."""
        opened = open_table(self.lake, THINGS.name)
        opened.create_checkpoint()
        client, newest = build_client(self.lake), int(opened.version())
        folder = self.lake.table_path(THINGS.name).removeprefix(f"s3://{self.lake.bucket}/") + "/_delta_log/"
        for entry in client.list_objects(self.lake.bucket, folder):
            name = str(entry.object_name).removeprefix(folder)
            if name[:20].isdigit() and int(name[:20]) < newest:
                client.remove_object(self.lake.bucket, str(entry.object_name))

    def vacuum(self) -> None:
        keep_nothing(self.lake, THINGS.name)
        vacuum(self.lake, THINGS.name)

    def earlier(self, opened: DeltaTable) -> int | None:
        newest = int(opened.version())
        return self.draw.randrange(newest) if newest else None

    def readable(self, version: int) -> bool:
        try:
            scan_opened(self.lake, THINGS.name, open_table(self.lake, THINGS.name, version)).collect()
        except (VersionMissingError, OSError):
            return False
        return True


def test_it_equals_the_full_computation_after_all_that_can_become_of_its_source(lake: Settings, seed: int) -> None:
    draw = random.Random(seed)
    life, followed = Life(lake, draw), 0
    for _ in range(40):
        for _ in range(draw.randrange(1, 4)):
            life.step()
        for moment in draw.choice([[], [], ["computed"], ["written"], ["committed"], ["written", "committed"]]):
            with suppress(KilledError):  # one that has nothing to do reaches no moment
                Follower(lake, moment).cycle()
        follower = Follower(lake)
        follower.cycle()
        followed += not follower.anew
        things = scan_opened(lake, THINGS.name, open_table(lake, THINGS.name)).collect()
        sums = scan_opened(lake, SUMS.name, open_table(lake, SUMS.name)).collect()
        assert_frame_equal(sums.sort("owner"), summed(things).select(sums.columns))
    assert followed > 5


def test_what_only_put_files_together_owes_nobody_anything(lake: Settings) -> None:
    life = Life(lake, random.Random(1))
    for _ in range(3):
        life.insert()
    since = int(open_table(lake, THINGS.name).version())
    life.compact()
    found = gained_and_lost(lake, THINGS.name, since, open_table(lake, THINGS.name))
    assert (found.gained, found.lost) == (frozenset(), frozenset())


def test_of_two_that_computed_from_one_version_the_second_is_refused_and_leaves_nothing(lake: Settings) -> None:
    opened = create_table(lake, SUMS.name)
    rows = pl.DataFrame({"owner": ["ana"], "amount": [1], "things": [1]})
    written = [write_files(lake, SUMS.name, [rows]) for _ in range(2)]
    assert commit_files(lake, SUMS.name, opened, written[0], [], NOTE) == 1
    with pytest.raises(OvertakenError):
        commit_files(lake, SUMS.name, opened, written[1], [], NOTE)
    assert scan_opened(lake, SUMS.name, open_table(lake, SUMS.name)).collect().height == 1


def test_putting_files_together_minds_only_who_removes_one_of_them(lake: Settings) -> None:
    create_table(lake, SUMS.name)
    rows = pl.DataFrame({"owner": ["ana"], "amount": [1], "things": [1]})

    def add() -> None:
        commit_files(lake, SUMS.name, open_table(lake, SUMS.name), write_files(lake, SUMS.name, [rows]), [], NOTE)

    def join(opened: DeltaTable) -> int:
        joined = write_files(lake, SUMS.name, [read_files(lake, SUMS.name, paths(opened))])
        return commit_files(lake, SUMS.name, opened, joined, paths(opened), None, same_rows=True)

    add()
    add()
    opened = open_table(lake, SUMS.name)
    add()
    assert join(opened) == 4
    assert read_files(lake, SUMS.name, paths(open_table(lake, SUMS.name))).height == 3
    with pytest.raises(OvertakenError):
        join(opened)


def test_a_file_that_the_table_does_not_have_is_not_removed(lake: Settings) -> None:
    opened = create_table(lake, SUMS.name)
    with pytest.raises(ValueError, match=r"gold.sums has at version 0 no nothing.parquet"):
        commit_files(lake, SUMS.name, opened, [], ["nothing.parquet"], NOTE)
