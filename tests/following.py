"""A follower, the streams that it is sent, and its tables held against the reference's rows."""

from collections.abc import Iterable
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from jobs.follower import lake as follower_lake
from jobs.follower.cycle import Follower
from jobs.follower.events import Events
from jobs.follower.lake import Lake
from jobs.follower.refresh import Refresh
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.tables import FOLLOWED, table
from lakehouse.delta import Once, append, scan
from lakehouse.delta.files import commit_files
from lakehouse.delta.write import to_arrow
from lakehouse.semantics import Event
from lakehouse.settings import Settings
from tests.refreshed import bronze, rows_of

BRONZE = tuple(f"bronze.{contract.table}" for contract in EVENTS.values())


class KilledError(Exception):
    """Stands for a kill: nothing that the process would have done after it is done."""


Kills = dict[str, int]
"""`before` or `after`: how many commits from now on the process dies."""


def killing(monkeypatch: pytest.MonkeyPatch) -> Kills:
    """Raises KilledError where what is returned says so."""
    left: Kills = {}

    def commit(*arguments: Any) -> int:
        for moment in ("before", "after"):
            if moment in left:
                left[moment] -= 1
        if left.get("before") == 0:
            raise KilledError
        version = commit_files(*arguments)
        if left.get("after") == 0:
            raise KilledError
        return version

    monkeypatch.setattr(follower_lake, "commit_files", commit)
    return left


def write(lake: Settings, stream: Iterable[Event]) -> None:
    records = list(stream)
    for name in BRONZE:
        append(lake, name, to_arrow(name, bronze(name, records)), Once.new("test"))


def assert_equal(lake: Settings, stream: list[Event]) -> None:
    for name in DERIVED:
        compared = list(table(name).compared_columns)
        rows = scan(lake, f"{name}{FOLLOWED}").select(compared).sort(table(name).key).collect()
        assert_frame_equal(rows, rows_of(name, stream))


def follower(lake: Settings) -> Follower:
    """One that takes what few commits bring in several cycles, and computes anew in several slices."""
    made = Follower(Lake(lake, FOLLOWED))
    for node in made.nodes.values():
        if isinstance(node, Events):
            node.batch = 25
        if isinstance(node, Refresh):
            node.slice_rows = 40
    return made


def assert_settled(running: Follower, kills: dict[str, int]) -> None:
    kills.clear()
    for _ in running.settle():
        pass
    assert running.cycle(settle=True) == 0
