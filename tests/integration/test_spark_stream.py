"""The Spark stream on real Kafka and MinIO: two runs of one driver over literal and random events."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import duckdb_extension_delta
import polars as pl
import pytest

from jobs.streaming.spark.progress import journal_path
from lakehouse.compare import COMPARED, Comparison, compare
from lakehouse.compare.reference import Reference
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.delta import open_table, scan
from lakehouse.delta.describe import newest_first
from lakehouse.delta.notes import Batch
from lakehouse.delta.tables import PROPERTIES
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.ledger import audit
from lakehouse.object_store import build_client
from lakehouse.produce import send_day
from lakehouse.settings import ROOT, Settings
from tests.integration.spark_lake import (
    Driver,
    click,
    clock,
    ingest_transactions,
    profile,
    purchase,
    send,
    transaction,
    version,
)
from tests.integration.tables.log_files import log_transactions
from tests.lake import assert_rebuilt
from tests.transactions import Transactions

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(2400)]

WRITTEN = JOBS[SPARK_INGEST].writes
TABLES = [name for name in COMPARED if name in WRITTEN]
DAY = date(2026, 3, 2)

KEPT = click("kim", 0)
SPREAD = click("spread", 5, "cup")
PAID = transaction("spread", 5)


@dataclass(frozen=True)
class Runs:
    """What is to be known of both runs. `before`: table versions after the first; rows of kim's then."""

    settings: Settings
    before: dict[str, int]
    sessions_before: pl.DataFrame
    decisions_before: pl.DataFrame
    comparison: Comparison
    stopped: tuple[int, float]


@pytest.fixture(scope="module")
def runs(stack: "Stack", seed: int) -> Runs:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "stream"})
    create_topics(settings)
    send(settings, [version("mug", -600, 100), profile("kim", 0, "A"), profile("kim", 60, "B")])
    send(settings, [KEPT, purchase("kim", 3), click("kim", 45, "mug", "impression")])
    send(settings, [("shop.clicks", "kim", b"{"), ("shop.purchases", "kim", None), ("shop.clicks", "other", KEPT[2])])
    send(settings, [transaction("kim", minutes) for minutes in range(5)])
    transactions = Transactions(settings, "shop.purchases")
    transactions.commit(purchase("tom", 5, cents=100)[2] or b"", key=b"tom")
    transactions.abort(purchase("tom", 6, cents=99_900)[2] or b"", key=b"tom")
    send(settings, [SPREAD, PAID], partition=5)
    send_day(settings, ShopDay(DAY, 0, 0, seed, late=0.1, very_late=0.05, duplicates=0.05, transactions=400))
    send_day(
        settings, ShopDay(DAY, 1500, 150, seed, late=0.1, very_late=0.05, duplicates=0.05, broken=0.02), unsafe=True
    )
    with Driver(settings) as driver:
        driver.drain()
        stopped = driver.terminate()
    before = {name: int(open_table(settings, name).version()) for name in WRITTEN}
    sessions_before = scan(settings, "silver.sessions").filter(pl.col("user_id") == "kim").collect()
    decisions_before = scan(settings, "gold.fraud_decisions").filter(pl.col("user_id") == "kim").collect()
    with Driver(settings) as driver:
        # An event that joins kim's two sessions, a duplicate, a click that explains an earlier purchase,
        # a version that should have been known, a transaction that makes the fifth the sixth, and a day that overlaps
        # the first.
        send(settings, [click("kim", 25, None, "impression"), KEPT, click("kim", 2), version("mug", -10, 200)])
        send(settings, [transaction("kim", -1)])
        send(settings, [SPREAD, PAID], partition=0)
        day = ShopDay(DAY, 800, 80, seed + 1, late=0.1, very_late=0.05, duplicates=0.05, hot=0.3, transactions=300)
        send_day(settings, day)
        # While it is open Spark waits behind its first record; at the end a partition ends with control records.
        with transactions.open(purchase("tom", 7, cents=10)[2] or b"", key=b"tom"):
            driver.drain()
        transactions.abort(purchase("tom", 8, cents=1)[2] or b"", key=b"tom")
        driver.drain()
    comparison = compare(settings, TABLES)
    ingest_transactions(settings, Reference.read(settings, comparison.offsets))
    return Runs(settings, before, sessions_before, decisions_before, comparison, stopped)


def test_every_table_equals_the_reference(runs: Runs) -> None:
    assert [t for t in runs.comparison.tables if not t.equal] == []
    assert len(runs.comparison.tables) == len(TABLES)
    assert runs.comparison.accounting.balanced


def test_what_a_transaction_aborted_is_no_purchase(runs: Runs) -> None:
    (totals,) = _rows(runs, "gold.user_totals", user_id="tom").select("purchases", "revenue_cents").rows()
    assert totals == (2, 110)


def test_the_ledger_finds_every_record_once(runs: Runs) -> None:
    result = audit(runs.settings, live=False)
    assert result.findings == ()
    accounts = {account.topic: account for account in result.accounts}
    clicks = accounts["shop.clicks"]
    assert min(clicks.dead_letters, clicks.duplicate, accounts["shop.products"].silver) > 0
    assert all(rows.records for rows in result.derived if rows.table and not rows.table.startswith("marts."))


def test_invalid_records_become_dead_letters_with_bytes_position_and_reason(runs: Runs) -> None:
    dead = scan(runs.settings, "bronze.dead_letters").filter(pl.col("key").is_in([b"kim", b"other"])).collect()
    found = {(row["topic"], row["key"], row["value"], row["reason"]) for row in dead.to_dicts()}
    assert found == {
        ("shop.clicks", b"kim", b"{", "not_json"),
        ("shop.purchases", b"kim", None, "null_value"),
        ("shop.clicks", b"other", KEPT[2], "key_mismatch"),
    }
    assert dead["offset"].null_count() == 0


def test_a_duplicate_in_a_later_batch_counts_once(runs: Runs) -> None:
    event_id = json.loads(KEPT[2] or b"")["event_id"]
    assert _rows(runs, "bronze.clicks", event_id=event_id).height == 2
    assert _rows(runs, "silver.clicks", event_id=event_id).height == 1


def test_the_same_event_in_a_lower_partition_displaces_the_earlier_one(runs: Runs) -> None:
    (kept,) = _rows(runs, "silver.clicks", user_id="spread")["partition"]
    (session,) = _rows(runs, "silver.sessions", user_id="spread")["fingerprint"]
    assert kept == 0
    assert int(session) == _rows(runs, "silver.clicks", user_id="spread")["record_hash"].sum()


def test_a_late_event_merges_two_sessions_and_leaves_a_tombstone_of_the_absorbed(runs: Runs) -> None:
    assert sorted(runs.sessions_before["events"]) == [1, 1]
    (events,) = _rows(runs, "silver.sessions", user_id="kim")["events"]
    assert events == 4
    assert _rows(runs, "silver.session_parts", user_id="kim").height == 1


def test_a_click_that_arrives_after_its_purchase_is_attributed(runs: Runs) -> None:
    (attributed,) = _rows(runs, "silver.purchase_clicks", user_id="kim")["click_event_time"]
    assert attributed.isoformat(timespec="milliseconds") == clock(2).replace("Z", "+00:00")


def test_a_late_transaction_changes_what_was_decided_after_it(runs: Runs) -> None:
    assert (runs.decisions_before.height, runs.decisions_before["flagged"].any()) == (5, False)
    flagged = _rows(runs, "gold.fraud_decisions", user_id="kim").filter("flagged")
    assert [at.isoformat(timespec="milliseconds") for at in flagged["event_time"]] == [clock(4).replace("Z", "+00:00")]
    alerts = _rows(runs, "gold.alerts", key="kim", rule="fraud_flagged")
    assert alerts["event_id"].to_list() == flagged["event_id"].to_list()


def test_the_same_transaction_in_a_lower_partition_displaces_the_earlier_one(runs: Runs) -> None:
    (kept,) = _rows(runs, "silver.transactions", user_id="spread").rows(named=True)
    (decision,) = _rows(runs, "gold.fraud_decisions", user_id="spread").rows(named=True)
    assert (kept["partition"], int(decision["fingerprint"])) == (0, kept["record_hash"])


def test_alerts_are_there_by_each_rule(runs: Runs) -> None:
    rules = set(_all(runs, "gold.alerts")["rule"])
    assert rules == {"ctr_anomaly", "anomalous_session", "fraud_flagged", "fraud_blocked"}


def test_a_version_learnt_late_enriches_events_that_were_there(runs: Runs) -> None:
    assert set(_rows(runs, "silver.clicks", user_id="kim", product_id="mug")["price_cents"]) == {200}
    assert set(_rows(runs, "silver.purchases", user_id="kim")["price_cents"]) == {200}


def test_inserts_and_corrections_of_silver_are_commits_of_their_own(runs: Runs) -> None:
    opened = open_table(runs.settings, "silver.clicks")
    commits, notes = opened.history(), [commit.note for commit in newest_first(opened)]
    corrections = [note.correction for note in notes if isinstance(note, Batch) and note.correction]
    inserts = [c for c in commits if c["operation"] == "WRITE" and c["operationParameters"]["mode"] == "Append"]
    assert set(corrections) == {"lower_position", "late_product_version"}
    assert len(inserts) + len(corrections) + 1 == len(commits)


def test_a_restart_repeats_nothing(runs: Runs) -> None:
    lines = [json.loads(line) for line in journal_path(runs.settings).read_text().splitlines()]
    begun = [line["batch_id"] for line in lines if line["event"] == "begin"]
    assert begun == sorted(set(begun))
    positions = _all(runs, "bronze.clicks").select("partition", "offset")
    assert positions.is_unique().all()


def test_a_restart_goes_on_with_the_transactions_of_its_checkpoint(runs: Runs) -> None:
    appended = log_transactions(runs.settings, "bronze.clicks")
    (app_id, *others), versions = (dict.fromkeys(column) for column in zip(*appended, strict=True))
    assert app_id.startswith("stream.spark_lakehouse.")
    assert others == []
    assert len(versions) == len(appended) > 1


def test_the_driver_ends_within_seconds_when_asked_to(runs: Runs) -> None:
    status, seconds = runs.stopped
    assert status == 0
    assert seconds < 10


@pytest.mark.parametrize("name", WRITTEN)
def test_tables_keep_the_delta_profile(runs: Runs, name: str) -> None:
    opened = open_table(runs.settings, name)
    protocol = opened.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert not protocol.reader_features
    assert not protocol.writer_features
    assert opened.metadata().configuration == PROPERTIES


@pytest.mark.parametrize("name", ["silver.clicks", "gold.product_metrics_5m"])
def test_duckdb_reads_what_spark_wrote(runs: Runs, name: str, tmp_path: Path) -> None:
    settings = runs.settings
    store = build_client(settings)
    # No package carries DuckDB's S3 extension: it gets a copy of the files.
    prefix = settings.table_path(name).removeprefix(f"s3://{settings.bucket}/")
    for found in store.list_objects(settings.bucket, f"{prefix}/", recursive=True):
        path = (found.object_name or "").removeprefix(prefix)
        store.fget_object(settings.bucket, prefix + path, f"{tmp_path}{path}")
    (extension,) = Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
    with duckdb.connect() as connection:
        connection.load_extension(str(extension))
        (count,) = connection.execute("SELECT count(*) FROM delta_scan(?)", [str(tmp_path)]).fetchone() or (0,)
    assert count == _all(runs, name).height > 0


def test_a_rebuild_from_bronze_equals_the_stream(runs: Runs) -> None:
    settings = runs.settings
    environment = os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace}
    command = [sys.executable, "-m", "jobs.batch.rebuild", "--from", str(DAY), "--to", str(DAY)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in DERIVED:
        assert assert_rebuilt(settings, name, DAY, DAY) > 0, name


def _all(runs: Runs, name: str) -> pl.DataFrame:
    return scan(runs.settings, name).collect()


def _rows(runs: Runs, name: str, **values: str) -> pl.DataFrame:
    return _all(runs, name).filter(**values)
