"""Reads: at any kept version, only the days asked for, by other engines too, and errors that say what to do."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import duckdb
import duckdb_extension_delta
import pytest

from lakehouse.contracts.tables import UnknownTableError
from lakehouse.delta import (
    StoreDeniedError,
    TableMissingError,
    VersionMissingError,
    create_table,
    open_table,
    scan,
    table_exists,
)
from lakehouse.delta.describe import commits
from lakehouse.object_store import build_client
from lakehouse.semantics import Events
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.integration.tables.log_files import backdate
from tests.lake import expected, fill, stored
from tests.strategies import click, positioned, purchase

EVENTS = Events.of(
    positioned(
        [click("ana", "10:00"), click("émile", "34:00", None), purchase("ana", "10:01"), purchase("bo", "40:00")]
    )
)
FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 2)


def test_rows_come_back_as_they_were_written(lake):
    fill(lake, EVENTS, "silver.clicks", "gold.user_totals")
    for name in ("silver.clicks", "gold.user_totals"):
        assert stored(lake, name).equals(expected(name, EVENTS))


def test_only_the_files_of_the_days_asked_for_are_read(lake):
    fill(lake, EVENTS, "silver.clicks")
    plan = scan(lake, "silver.clicks", dates=(SECOND, SECOND)).explain()
    assert f"event_date={SECOND}" in plan
    assert f"event_date={FIRST}" not in plan
    assert stored(lake, "silver.clicks", SECOND).equals(expected("silver.clicks", EVENTS, SECOND))


def test_days_of_a_table_without_days_are_an_error(lake):
    fill(lake, EVENTS, "gold.user_totals")
    with pytest.raises(ValueError, match=r"gold\.user_totals has no days"):
        scan(lake, "gold.user_totals", dates=(FIRST, FIRST))


def test_an_earlier_version_by_number(lake):
    create_table(lake, "silver.clicks")
    fill(lake, EVENTS, "silver.clicks")
    assert stored(lake, "silver.clicks", version=0).is_empty()
    assert stored(lake, "silver.clicks", version=1).height == 2


def test_the_version_of_a_time_is_the_newest_that_was_committed_by_then(lake):
    create_table(lake, "silver.clicks")
    for _ in range(20):
        fill(lake, EVENTS, "silver.clicks")
    known = commits(open_table(lake, "silver.clicks"))
    assert [commit.version for commit in known] == list(range(20, -1, -1))
    for commit in known:
        before = commit.at - timedelta(milliseconds=1)
        assert open_table(lake, "silver.clicks", timestamp=commit.at).version() == commit.version
        assert not commit.version or open_table(lake, "silver.clicks", timestamp=before).version() == commit.version - 1
    assert open_table(lake, "silver.clicks", timestamp=datetime.now(UTC)).version() == 20


def test_a_version_that_is_not_there(lake):
    create_table(lake, "silver.clicks")
    with pytest.raises(VersionMissingError, match=r"silver\.clicks has no version 5; its newest version is 0"):
        open_table(lake, "silver.clicks", version=5)


def test_a_time_before_the_table_existed(lake):
    (created,) = commits(create_table(lake, "silver.clicks"))
    with pytest.raises(
        VersionMissingError, match=r"silver\.clicks has no version as of .*; the table was created on 2"
    ):
        open_table(lake, "silver.clicks", timestamp=created.at - timedelta(milliseconds=1))


def test_a_time_that_is_yet_to_come(lake):
    create_table(lake, "silver.clicks")
    with pytest.raises(VersionMissingError, match=r"has no version as of 2\d{3}-.*; that time is yet to come"):
        open_table(lake, "silver.clicks", timestamp=datetime.now(UTC) + timedelta(minutes=1))


def test_what_was_replaced_longer_ago_than_history_is_kept_is_not_opened(lake):
    create_table(lake, "silver.clicks")
    for _ in range(2):
        fill(lake, EVENTS, "silver.clicks")
    backdate(lake, "silver.clicks", {0: timedelta(days=9), 1: timedelta(days=8), 2: timedelta(days=6)})
    now = datetime.now(UTC)
    with pytest.raises(VersionMissingError, match=r"; it was replaced on 2.*, and history is kept for 7 days"):
        open_table(lake, "silver.clicks", timestamp=now - timedelta(days=8, hours=1))
    # Its files were removed 6 days ago at the earliest.
    assert open_table(lake, "silver.clicks", timestamp=now - timedelta(days=7, hours=1)).version() == 1
    assert open_table(lake, "silver.clicks", timestamp=now - timedelta(days=5)).version() == 2


def test_a_table_that_nobody_wrote_says_who_writes_it(lake):
    assert not table_exists(lake, "silver.clicks")
    with pytest.raises(TableMissingError, match=r"silver\.clicks has not been written yet; spark_lakehouse writes it"):
        open_table(lake, "silver.clicks")


def test_a_table_that_no_contract_declares_lists_those_that_exist(lake):
    with pytest.raises(UnknownTableError, match=r"unknown table 'silver\.nope'; known tables: .*silver\.clicks"):
        open_table(lake, "silver.nope")


def test_a_store_that_is_down_is_named_with_the_command_that_starts_it(lake):
    down = lake.model_copy(update={"minio_port": 9})
    with pytest.raises(ServiceDownError, match=r"minio does not answer .*; start it with: lakehouse up minio"):
        open_table(down, "silver.clicks")


_READ_AND_REST = """
import resource
import threading
from lakehouse.delta import scan
from lakehouse.settings import load_settings

scan(load_settings(), "silver.clicks").collect()
def woken():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nvcsw + used.ru_nivcsw
before = woken()
threading.Event().wait(2)
print(woken() - before)
"""


def test_a_process_that_has_read_a_table_rests(lake):
    fill(lake, EVENTS, "silver.clicks")
    environment = os.environ | {"LAKEHOUSE_NAMESPACE": lake.namespace}
    done = subprocess.run(
        [sys.executable, "-c", _READ_AND_REST], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 500


def test_a_store_that_does_not_know_us_is_somebody_elses(lake):
    stranger = lake.model_copy(update={"minio_access_key": "somebody-else"})
    for ask in (open_table, table_exists):
        with pytest.raises(StoreDeniedError, match=r"refuses the access key of .*credentials\.env"):
            ask(stranger, "silver.clicks")


def test_duckdb_reads_what_was_written(lake, tmp_path):
    names = ("silver.clicks", "gold.product_metrics_5m")
    fill(lake, EVENTS, *names)
    (extension,) = Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
    engine = duckdb.connect()
    engine.load_extension(str(extension))
    engine.execute("SET TimeZone = 'UTC'")
    for name in names:
        # DuckDB's S3 support is another extension, which no package carries: it gets a copy of the files.
        copied = download(lake, name, tmp_path)
        rows = expected(name, EVENTS)
        read = engine.sql(f"FROM delta_scan('{copied}')").pl().select(rows.columns)
        assert sorted(map(str, read.rows())) == sorted(map(str, rows.rows()))


def download(lake: Settings, name: str, to: Path) -> Path:
    """A copy of the table's files; returns its folder."""
    store = build_client(lake)
    prefix = lake.table_path(name).removeprefix(f"s3://{lake.bucket}/")
    for found in store.list_objects(lake.bucket, prefix + "/", recursive=True):
        store.fget_object(lake.bucket, found.object_name, str(to / unquote(found.object_name)))
    return to / prefix
