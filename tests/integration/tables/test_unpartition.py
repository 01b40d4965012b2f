"""A table that lay in partitions and lies in none any more is the same table to all who read it."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lakehouse.contracts.columns import EVENT_DATE, Column, TableContract, Type
from lakehouse.contracts.tables import TABLES
from lakehouse.delta import Once, OvertakenError, append, open_table, scan_opened
from lakehouse.delta.errors import RestoreRefusedError
from lakehouse.delta.files import paths, write_files
from lakehouse.delta.maintenance import maintain
from lakehouse.delta.notes import Asked
from lakehouse.delta.restore import restore
from lakehouse.delta.unpartition import unpartition
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings

HELD = TableContract(
    "gold.held",
    "test",
    (Column("id", Type.LONG), Column("said", Type.STRING, nullable=True), EVENT_DATE),
    ("id",),
    partition_by=("event_date",),
)
LAID = replace(HELD, name="gold.held__aside", partition_by=())
NOTE = Asked(job="test", scope="laid anew")


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for contract in (HELD, LAID):
        monkeypatch.setitem(TABLES, contract.name, contract)


def rows(*ids: int, said: str | None = "süß") -> pl.DataFrame:
    """A row on each of as many days."""
    days = [date(2026, 3, 1 + number) for number in range(len(ids))]
    return pl.DataFrame({"id": ids, "said": said, "event_date": days}, schema_overrides={"said": pl.String})


def put(lake: Settings, *ids: int) -> None:
    append(lake, HELD.name, to_arrow(HELD.name, rows(*ids)), Once.new("test"))


def laid_anew(lake: Settings, content: pl.DataFrame, once: Once | None = None) -> int:
    return unpartition(
        lake, HELD.name, write_files(lake, LAID.name, [content], into=HELD.name), once or Once("anew", 1), NOTE
    )


def held(lake: Settings, version: int | None = None) -> pl.DataFrame:
    return scan_opened(lake, HELD.name, open_table(lake, HELD.name, version)).sort("id").collect()


def test_its_rows_are_the_new_ones_and_earlier_versions_are_read_as_before(lake: Settings) -> None:
    put(lake, 1, 2, 3)
    before = open_table(lake, HELD.name)
    version = laid_anew(lake, rows(2, 3, 4, said=None), Once("anew", 1, positions={"read/silver.source@x": 7}))
    after = open_table(lake, HELD.name)
    assert_frame_equal(held(lake), rows(2, 3, 4, said=None))
    assert_frame_equal(held(lake, int(before.version())), rows(1, 2, 3))
    assert (int(after.version()), after.metadata().id) == (version, before.metadata().id)
    assert after.metadata().partition_columns == []
    assert not paths(after) & paths(before)
    assert after.transaction_version("read/silver.source@x") == 7


def test_it_goes_on_from_there_through_appends_checkpoints_and_maintenance(
    lake: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lake, 1, 2, 3)
    laid_anew(lake, rows(2, 3))
    monkeypatch.setitem(TABLES, HELD.name, replace(HELD, partition_by=()))
    put(lake, 5)
    maintain(lake, HELD.name)
    assert held(lake)["id"].to_list() == [2, 3, 5]
    assert open_table(lake, HELD.name).metadata().partition_columns == []


def test_once_it_is_laid_anew_the_same_call_changes_nothing(lake: Settings) -> None:
    put(lake, 1)
    assert laid_anew(lake, rows(2)) == laid_anew(lake, rows(3))
    assert held(lake)["id"].to_list() == [2]


def test_rows_of_another_s_commit_in_between_are_replaced_too(lake: Settings) -> None:
    put(lake, 1)
    disturbed = iter([lambda: put(lake, 9)])

    def disturb(_now: object) -> None:
        next(disturbed, lambda: None)()

    laid_anew(lake, rows(2), Once("anew", 1, disturb))
    assert held(lake)["id"].to_list() == [2]


def test_what_a_check_refuses_leaves_the_table_as_it_was(lake: Settings) -> None:
    put(lake, 1)

    def refuse(_now: object) -> None:
        raise OvertakenError("there", "test", 0, 1)

    with pytest.raises(OvertakenError):
        laid_anew(lake, rows(2), Once("anew", 1, refuse))
    assert held(lake)["id"].to_list() == [1]


def test_it_is_not_restored_to_a_version_that_lies_in_partitions(lake: Settings) -> None:
    put(lake, 1)
    before = int(open_table(lake, HELD.name).version())
    laid_anew(lake, rows(2))
    with pytest.raises(RestoreRefusedError, match="change-over"):
        restore(lake, HELD.name, before)
