"""Compaction, vacuum and restore through delta-rs: rows stay as they are, and what can't be undone is refused."""

import io
import re
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake

from lakehouse.contracts.jobs import Engine, JobSpec
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.delta import Once, TableMissingError, VersionMissingError, append, create_table, maintenance, open_table
from lakehouse.delta.describe import commits, extent
from lakehouse.delta.errors import RestoreRefusedError
from lakehouse.delta.files import commit_files, write_files
from lakehouse.delta.maintenance import compact, trim_log, vacuum
from lakehouse.delta.notes import Asked, Restored
from lakehouse.delta.restore import restore
from lakehouse.delta.write import to_arrow
from lakehouse.drained.refreshes import outdated
from lakehouse.object_store import build_client
from lakehouse.runtime.owners import OwnerRunningError, owners_stopped
from lakehouse.runtime.wanted import Wanted, migrate, set_wanted
from lakehouse.semantics import Events
from lakehouse.settings import Settings
from tests.integration.tables.log_files import log_actions, write_actions
from tests.lake import expected, fill, keep_nothing, stored
from tests.strategies import click, positioned, purchase

pytestmark = pytest.mark.stack

EVENTS = Events.of(positioned([click("ana", "10:00"), click("émile", "34:00", None), purchase("ana", "10:01")]))
CLICKS, TOTALS = "silver.clicks", "gold.user_totals"
OWNER = JobSpec(SPARK_INGEST, Engine.PROCESS, "spark", "jobs.streaming.spark.main", (), (CLICKS, TOTALS), "", 1)


def grown(lake: Settings, name: str, commits: int = 6) -> pl.DataFrame:
    """A table of as many small commits; its rows."""
    for _ in range(commits):
        fill(lake, EVENTS, name)
    return stored(lake, name)


def test_compaction_joins_files_and_changes_no_row(lake):
    rows = grown(lake, CLICKS)
    done = compact(lake, CLICKS)
    assert (done.files_before, done.files_after, done.version, done.beaten) == (12, 2, 7, False)
    assert extent(open_table(lake, CLICKS)).files == 2
    assert stored(lake, CLICKS).equals(rows)
    assert open_table(lake, CLICKS).protocol().min_writer_version == 2
    assert data_changes(lake, CLICKS, 7) == {False}


def test_compacting_again_commits_nothing(lake):
    grown(lake, CLICKS)
    compact(lake, CLICKS)
    again = compact(lake, CLICKS)
    assert (again.version, again.files_after) == (None, 2)
    assert open_table(lake, CLICKS).version() == 7


def test_of_a_table_cut_by_time_the_files_of_an_hour_are_put_together_and_others_left(lake, monkeypatch):
    name = f"{CLICKS}{FOLLOWED}"
    monkeypatch.setattr(maintenance, "SETTLED_AFTER", timedelta(seconds=-1))
    create_table(lake, name)
    for clock in [*(f"10:{minute:02}" for minute in range(9)), "12:00", "12:01"]:
        rows = expected(CLICKS, Events.of(positioned([click("ana", clock)])))
        commit_files(lake, name, open_table(lake, name), write_files(lake, name, [rows]), [], None)
    rows = stored(lake, name)
    done = compact(lake, name)
    assert (done.files_before, done.files_after, done.version) == (11, 3, 12)
    assert stored(lake, name).equals(rows)
    assert data_changes(lake, name, 12) == {False}
    assert compact(lake, name).version is None


def test_what_is_appended_during_a_compaction_stays(lake, monkeypatch):
    rows = grown(lake, CLICKS)
    meanwhile(monkeypatch, lambda: fill(lake, EVENTS, CLICKS))
    assert compact(lake, CLICKS).version == 8
    assert stored(lake, CLICKS).height == rows.height + 2


def test_a_file_that_was_replaced_during_a_compaction_stays_replaced(lake, monkeypatch):
    grown(lake, CLICKS)
    replacement = to_arrow(CLICKS, expected(CLICKS, EVENTS).head(1))
    options = lake.delta_storage_options()
    meanwhile(
        monkeypatch,
        lambda: write_deltalake(lake.table_path(CLICKS), replacement, mode="overwrite", storage_options=options),
    )
    assert compact(lake, CLICKS).version is None
    assert stored(lake, CLICKS).height == 1


def test_a_compaction_that_loses_each_time_says_so_and_changes_nothing(lake, monkeypatch):
    grown(lake, CLICKS)
    rows = to_arrow(CLICKS, expected(CLICKS, EVENTS))
    options = lake.delta_storage_options()

    def replace() -> None:
        write_deltalake(lake.table_path(CLICKS), rows, mode="overwrite", storage_options=options)
        for _ in range(2):
            fill(lake, EVENTS, CLICKS)

    meanwhile(monkeypatch, replace, times=9)
    done = compact(lake, CLICKS)
    assert (done.beaten, done.version) == (True, None)
    assert stored(lake, CLICKS).height == 6


def test_vacuum_keeps_what_a_version_of_the_last_days_holds(lake):
    rows = grown(lake, CLICKS)
    compact(lake, CLICKS)
    assert vacuum(lake, CLICKS, dry_run=True).files == vacuum(lake, CLICKS).files == 0
    assert stored(lake, CLICKS, version=6).equals(rows)


@pytest.mark.parametrize("trimmed", [False, True], ids=["log", "checkpoint"])
@pytest.mark.parametrize(("name", "files"), [(CLICKS, 12), (TOTALS, 6)])
def test_vacuum_removes_what_left_the_table_before_that(lake, name, files, trimmed):
    rows = grown(lake, name)
    compact(lake, name)
    keep_nothing(lake, name)
    if trimmed:
        trim_log(lake, name)
    assert vacuum(lake, name, dry_run=True).files == files
    assert vacuum(lake, name).files == files
    assert stored(lake, name).equals(rows)
    with pytest.raises(RestoreRefusedError, match="files of version 6 are gone"):
        restore(lake, name, version=6)


def test_vacuum_keeps_old_files_that_left_the_table_a_short_time_ago(lake):
    """Each file is older than what is kept; that it left the table lately is known from a checkpoint alone."""
    rows = grown(lake, CLICKS)
    compact(lake, CLICKS)
    keep_nothing(lake, CLICKS)
    removed_at(lake, CLICKS, 7, datetime.now(UTC) + timedelta(days=1))
    trim_log(lake, CLICKS)
    assert vacuum(lake, CLICKS).files == 0
    assert stored(lake, CLICKS, version=6).equals(rows)


def twice_removed(lake: Settings) -> pl.DataFrame:
    """Small files left the table in version 7, came back, and left it again in version 9; what it holds."""
    rows = grown(lake, CLICKS)
    compact(lake, CLICKS)
    restore(lake, CLICKS, version=6)
    compact(lake, CLICKS)
    return rows


def test_vacuum_removes_once_what_left_the_table_twice(lake):
    rows = twice_removed(lake)
    keep_nothing(lake, CLICKS)
    gone = vacuum(lake, CLICKS, dry_run=True).files
    assert vacuum(lake, CLICKS).files == gone > 0
    assert stored(lake, CLICKS).equals(rows)


def test_vacuum_keeps_what_came_back_since_it_first_left_the_table(lake):
    rows = twice_removed(lake)
    removed_at(lake, CLICKS, 7, datetime.now(UTC) - timedelta(days=8))
    assert vacuum(lake, CLICKS).files == 0
    assert stored(lake, CLICKS, version=8).equals(rows)


def test_vacuum_removes_what_a_killed_writer_left_once_it_is_old(lake):
    rows = grown(lake, CLICKS)
    place = lake.table_path(CLICKS).removeprefix(f"s3://{lake.bucket}/") + "/event_date=2024-03-01/part-killed.parquet"
    client = build_client(lake)
    client.put_object(lake.bucket, place, io.BytesIO(b"half"), 4)
    trim_log(lake, CLICKS)
    assert vacuum(lake, CLICKS).files == 0, "its commit may be under way"
    keep_nothing(lake, CLICKS)
    assert vacuum(lake, CLICKS).files == 1
    assert not list(client.list_objects(lake.bucket, place))
    assert stored(lake, CLICKS).equals(rows)


def test_vacuum_leaves_a_table_whose_name_begins_alike(lake):
    create_table(lake, "bronze.clicks")
    keep_nothing(lake, "bronze.clicks")
    place = lake.table_path("bronze.clicks__flink").removeprefix(f"s3://{lake.bucket}/") + "/part-theirs.parquet"
    build_client(lake).put_object(lake.bucket, place, io.BytesIO(b"rows"), 4)
    assert vacuum(lake, "bronze.clicks", dry_run=True).files == 0


def test_a_trimmed_log_still_knows_rows_and_transactions(lake):
    rows = to_arrow(CLICKS, expected(CLICKS, EVENTS))
    append(lake, CLICKS, rows, Once("app", 7))
    trim_log(lake, CLICKS)
    append(lake, CLICKS, rows, Once("app", 7))
    assert stored(lake, CLICKS).height == 2
    assert stored(lake, CLICKS, version=0).is_empty()


def test_a_recomputed_table_goes_back_and_is_found_outdated(lake):
    for name, source_version in ((TOTALS, 1), (TOTALS, 2)):
        fill(lake, EVENTS, "silver.purchases")
        rows = to_arrow(name, expected(name, EVENTS))
        note = Asked(scope="test", read_versions={"silver.purchases": source_version})
        append(lake, name, rows, Once("test", source_version), note)
    assert outdated(lake) == {}
    done = restore(lake, TOTALS, version=1, by="somebody")
    assert (done.target, done.version, done.changed, done.days) == (1, 3, True, None)
    assert stored(lake, TOTALS).equals(stored(lake, TOTALS, version=1))
    assert commits(open_table(lake, TOTALS), 1)[0].note == Restored(
        restored=1, by="somebody", read_versions={"silver.purchases": 1}
    )
    assert outdated(lake) == {TOTALS: "silver.purchases 1 of 2"}


def test_going_back_tells_the_days_that_differ(lake):
    name = "gold.product_metrics_5m"
    fill(lake, EVENTS, name)
    fill(lake, Events.of(positioned([click("ana", "34:00"), click("ana", "60:00")])), name)
    assert restore(lake, name, version=1).days == (date(2024, 3, 2), date(2024, 3, 3))


def test_a_time_is_as_good_as_a_version(lake):
    fill(lake, EVENTS, TOTALS)
    (first, *_) = commits(open_table(lake, TOTALS), 1)
    fill(lake, EVENTS, TOTALS)
    assert restore(lake, TOTALS, timestamp=first.at).target == 1


def test_inserted_rows_are_not_undone(lake):
    """The stream has read them from Kafka, and its batches count as written: nobody would add them again."""
    grown(lake, CLICKS, 2)
    fill(lake, Events.of(positioned([click("late", "11:00")])), CLICKS)
    with pytest.raises(RestoreRefusedError, match=re.escape("version 2 of silver.clicks lacks 1 rows")):
        restore(lake, CLICKS, version=2)
    assert open_table(lake, CLICKS).version() == 3


def test_rows_that_were_deleted_by_mistake_come_back(lake):
    rows = grown(lake, CLICKS, 1)
    open_table(lake, CLICKS).delete("user_id = 'ana'")
    restore(lake, CLICKS, version=1)
    assert stored(lake, CLICKS).equals(rows)


def test_a_version_that_is_not_there(lake):
    fill(lake, EVENTS, TOTALS)
    with pytest.raises(VersionMissingError, match="no version 9"):
        restore(lake, TOTALS, version=9)
    with pytest.raises(VersionMissingError, match="as of 2020"):
        restore(lake, TOTALS, timestamp=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("work", [compact, vacuum, trim_log, lambda lake, name: restore(lake, name, version=0)])
def test_a_table_that_nobody_wrote(lake, work):
    with pytest.raises(TableMissingError, match=r"gold\.user_totals has not been written yet"):
        work(lake, TOTALS)


def test_a_wanted_owner_keeps_its_tables(lake, stack):
    stack.ensure("postgres")
    migrate(lake)
    set_wanted(lake, OWNER.name, Wanted.RUNNING, "test")
    with (
        pytest.raises(OwnerRunningError, match=f"written by {SPARK_INGEST}, which is wanted running: stop it first"),
        owners_stopped(lake, [TOTALS], [OWNER]),
    ):
        pass
    set_wanted(lake, OWNER.name, Wanted.STOPPED, "test")
    with owners_stopped(lake, [TOTALS], [OWNER]):
        pass


def meanwhile(monkeypatch: pytest.MonkeyPatch, do, times: int = 1) -> None:
    """Lets `do` happen after a compaction has opened the table, and before it reads it: as often as `times`."""
    opening, left = open_table, [times]

    def opened_before(*arguments) -> DeltaTable:
        found = opening(*arguments)
        if left[0]:
            left[0] -= 1
            do()
        return found

    monkeypatch.setattr("lakehouse.delta.maintenance.open_table", opened_before)


def removed_at(lake: Settings, name: str, version: int, moment: datetime) -> None:
    """Lets a commit say when it removed its files."""
    actions = log_actions(lake, name, version)
    for action in actions:
        if "remove" in action:
            action["remove"]["deletionTimestamp"] = int(moment.timestamp() * 1000)
    write_actions(lake, name, version, actions)


def data_changes(lake: Settings, name: str, version: int) -> set[bool]:
    """What the file actions of a commit say of themselves."""
    files = [action.get("add") or action.get("remove") for action in log_actions(lake, name, version)]
    return {file["dataChange"] for file in files if file}
