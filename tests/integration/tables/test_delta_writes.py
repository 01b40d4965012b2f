"""Writes through delta-rs: once each, one day at a time, never against the contract."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import polars as pl
import pytest
from deltalake.exceptions import DeltaError

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.tables import TABLES, table
from lakehouse.delta import Once, OvertakenError, append, append_ops, create_table, open_table, replace_days
from lakehouse.delta.describe import commits
from lakehouse.delta.notes import Asked
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings
from tests.integration.tables.lost_answers import LosingProxy
from tests.lake import stored

MART = "marts.region_daily"
RESULTS = "ops.quality_results"
MONDAY, TUESDAY = date(2024, 3, 4), date(2024, 3, 5)


def rows(day: date, *regions: str, purchases: int = 1) -> pl.DataFrame:
    counts = dict.fromkeys(("revenue_cents", "clicks", "impressions", "distinct_users", "events"), 1)
    listed = [{"event_date": day, "region": r, "purchases": purchases, "fingerprint": 10**37} | counts for r in regions]
    return pl.DataFrame(listed, schema=polars_schema(table(MART)))


def publish(lake: Settings, day: date, frame: pl.DataFrame, version: int) -> int:
    note = Asked(scope=f"run {version}")
    return replace_days(lake, MART, [day], to_arrow(MART, frame), Once(f"test/{day}", version), note)


def quality_row(run: str) -> dict[str, object]:
    return {
        "run_id": run,
        "checked_at": datetime(2024, 3, 4, tzinfo=UTC),
        "table": "silver.clicks",
        "version": 1,
        "rows_checked": 1,
        "expectations": 1,
        "failed": 0,
        "success": True,
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_created_table_has_the_profile_that_all_engines_read(lake, name):
    created = create_table(lake, name)
    protocol = created.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features
    assert not protocol.writer_features
    assert created.metadata().partition_columns == list(table(name).partition_by)
    assert [(f.name, f.nullable) for f in created.schema().fields] == [
        (c.name, c.nullable) for c in table(name).columns
    ]
    assert [f.type.type for f in created.schema().fields] == [c.type.value for c in table(name).columns]


def test_creating_an_existing_table_changes_nothing(lake):
    create_table(lake, MART)
    assert create_table(lake, MART).version() == 0


def test_replacing_a_day_leaves_other_days_untouched(lake):
    publish(lake, MONDAY, rows(MONDAY, "north", "south"), 1)
    publish(lake, TUESDAY, rows(TUESDAY, "north"), 1)
    files = {f for f in open_table(lake, MART).file_uris() if f"event_date={TUESDAY}" in f}

    publish(lake, MONDAY, rows(MONDAY, "east", purchases=7), 2)

    assert stored(lake, MART, MONDAY).equals(rows(MONDAY, "east", purchases=7))
    assert stored(lake, MART, TUESDAY).equals(rows(TUESDAY, "north"))
    assert files <= set(open_table(lake, MART).file_uris())


def test_replacing_a_day_is_one_commit_that_says_what_it_is(lake):
    before = publish(lake, MONDAY, rows(MONDAY, "north"), 1)
    after = publish(lake, MONDAY, rows(MONDAY, "south"), 2)
    assert after == before + 1
    assert commits(open_table(lake, MART), 1)[0].note == Asked(scope="run 2")
    assert stored(lake, MART, version=before).equals(rows(MONDAY, "north"))


def test_replacing_a_day_by_nothing_empties_it(lake):
    publish(lake, MONDAY, rows(MONDAY, "north"), 1)
    publish(lake, TUESDAY, rows(TUESDAY, "north"), 1)
    publish(lake, MONDAY, rows(MONDAY), 2)
    assert stored(lake, MART).equals(rows(TUESDAY, "north"))


def test_a_row_of_another_day_is_refused_and_nothing_changes(lake):
    version = publish(lake, MONDAY, rows(MONDAY, "north"), 1)
    with pytest.raises(DeltaError):
        publish(lake, MONDAY, rows(TUESDAY, "north"), 2)
    assert open_table(lake, MART).version() == version


def test_a_null_that_the_contract_forbids_is_refused(lake):
    broken = rows(MONDAY, "north").with_columns(region=pl.lit(None, pl.String))
    with pytest.raises(ValueError, match="region"):
        to_arrow(MART, broken)
    with pytest.raises(DeltaError):
        append(lake, MART, broken.to_arrow(), Once.new("test"))
    assert stored(lake, MART).is_empty()


def test_the_same_write_again_is_a_no_op(lake):
    once = Once("test/run-1")
    first = append_ops(lake, RESULTS, [quality_row("run-1")], once)
    assert append_ops(lake, RESULTS, [quality_row("run-1")], once) == first
    assert stored(lake, RESULTS).height == 1


def test_an_older_write_does_not_undo_a_newer_one(lake):
    publish(lake, MONDAY, rows(MONDAY, "new"), 2)
    publish(lake, MONDAY, rows(MONDAY, "old"), 1)
    assert stored(lake, MART)["region"].to_list() == ["new"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("owner", [False, True])
def test_a_commit_whose_answer_was_lost_is_not_repeated(lake, owner):
    created = create_table(lake, RESULTS)
    once = Once.after(created, "owner") if owner else None
    first_commit = "/_delta_log/00000000000000000001.json"
    with LosingProxy((lake.host, lake.minio_port), first_commit) as proxy:
        through = lake.model_copy(update={"minio_port": proxy.port})
        version = append_ops(through, RESULTS, [quality_row("run-1")], once)
    assert proxy.count == 1
    assert version == 1
    assert stored(lake, RESULTS).height == 1
    assert open_table(lake, RESULTS).version() == 1


def test_what_another_owner_has_overtaken_is_not_taken_for_written(lake):
    """Two processes that both take themselves for the table's owner: the one that comes late is told."""
    append_ops(lake, RESULTS, [quality_row("run-1")], Once.after(create_table(lake, RESULTS), "owner"))
    seen_by_both = open_table(lake, RESULTS)
    append_ops(lake, RESULTS, [quality_row("run-2")], Once.after(seen_by_both, "owner"))
    with pytest.raises(OvertakenError, match=r"has committed as owner between version 1, .* and version 2"):
        append_ops(lake, RESULTS, [quality_row("run-3")], Once.after(seen_by_both, "owner"))
    append_ops(lake, RESULTS, [quality_row("run-3")], Once.after(open_table(lake, RESULTS), "owner"))
    assert stored(lake, RESULTS)["run_id"].to_list() == ["run-1", "run-2", "run-3"]


def test_an_owner_s_write_goes_on_beside_commits_of_others(lake):
    once = Once.after(create_table(lake, RESULTS), "owner")
    append_ops(lake, RESULTS, [quality_row("run-1")])
    append_ops(lake, RESULTS, [quality_row("run-2")], once)
    assert stored(lake, RESULTS)["run_id"].to_list() == ["run-1", "run-2"]


def test_writers_at_the_same_time_lose_no_row_and_double_none(lake):
    runs = [f"run-{n}" for n in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda run: append_ops(lake, RESULTS, [quality_row(run)]), runs))
    assert stored(lake, RESULTS)["run_id"].to_list() == runs


def test_publishers_at_the_same_time_replace_whole_days(lake):
    """Six publishers of two days: of each day, the rows of one publisher stand there, and they are the newest's."""
    create_table(lake, MART)
    jobs = [(day, version) for version in (1, 2, 3) for day in (MONDAY, TUESDAY)]
    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(lambda job: publish(lake, job[0], rows(job[0], "north", "south", purchases=job[1]), job[1]), jobs)
        )
    for day in (MONDAY, TUESDAY):
        assert stored(lake, MART, day).equals(rows(day, "north", "south", purchases=3))
