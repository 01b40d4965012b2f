"""Totals from Spark's state store, on real Kafka and MinIO: killed in mid-batch, poisoned, and begun anew."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from experiments.faults.journal import Journal, seconds
from jobs.streaming.spark.set_aside import QUARANTINE
from jobs.streaming.spark.stateful.user_totals import JOB, TABLE
from lakehouse.checkpoints import begin_checkpoint
from lakehouse.compare import TableComparison, compare
from lakehouse.contracts.events import MAX_CENTS, PURCHASES
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import table
from lakehouse.delta import open_table, scan
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.semantics.log import read_events
from lakehouse.semantics.reference import METRICS
from lakehouse.settings import ROOT, Settings
from lakehouse.spark_checkpoints import spark_positions
from tests.integration.spark_lake import Driver, purchase, send
from tests.integration.tables.log_files import log_transactions

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

DAY = date(2026, 3, 2)
CONSTRAINT = {"plausible": f"revenue_cents <= {MAX_CENTS}"}
"""What somebody may demand of a table: two of the largest purchases break it."""
SPREAD = purchase("spread", 5, "cup")


@dataclass(frozen=True)
class Runs:
    """What is to be known of the runs. `killed`: the journal's lines of the batch that was cut off.

    `restored`, `anew`: the comparisons after the kill, and with a new checkpoint. `poisoned`: the table after the
    poison.
    """

    settings: Settings
    killed: list[dict[str, Any]]
    restored: TableComparison
    ids: list[list[tuple[str, int]]]
    anew: TableComparison
    aside: dict[str, Any]
    poisoned: pl.DataFrame


@pytest.fixture(scope="module")
def runs(stack: "Stack", seed: int) -> Runs:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "totals"})
    create_topics(settings)
    journal = Journal(settings, JOB)
    repeated = purchase("ana", 1)
    send(settings, [repeated, purchase("ana", 2)])
    send(settings, [SPREAD], partition=5)
    send_day(settings, ShopDay(DAY, 1_000, 200, seed, duplicates=0.1, broken=0.02), judged=False, unsafe=True)
    with Driver(settings, JOB) as driver:
        drain(settings, driver)
        # Duplicates of the first batch, and one that a foreign producer sent to a lower partition.
        send(settings, [repeated, purchase("ana", 3)])
        send(settings, [SPREAD], partition=0)
        send_day(settings, ShopDay(DAY, 1_000, 200, seed, duplicates=0.1), judged=False)
        driver.wait_for(lambda: journal.open_batch("state"))
        batch = journal.open_batch("state")
        driver.kill()
    with Driver(settings, JOB) as driver:
        drain(settings, driver)
        send(settings, [purchase("ana", 4)])
        drain(settings, driver)
    killed = journal.lines(batch)
    (restored,) = compare(settings, [TABLE]).tables
    ids = [log_transactions(settings, TABLE)]
    begin_checkpoint(settings, JOB, None)
    with Driver(settings, JOB) as driver:
        drain(settings, driver)
        (anew,) = compare(settings, [TABLE]).tables
        open_table(settings, TABLE).alter.add_constraint(CONSTRAINT)
        with driver.frozen():  # so that all of it comes in one batch
            send(settings, [purchase("midas", n, cents=MAX_CENTS) for n in (1, 2)])
            send(settings, [purchase("bob", 1)])
            send(settings, [purchase("ana", 5)])
        drain(settings, driver)
        (aside,) = (line for line in journal.lines(event="end") if line["set_aside"])
        # The stream goes on, also with a user of the batch that is set aside.
        send(settings, [purchase("ana", 6), purchase("cleo", 1)])
        drain(settings, driver)
        ids.append(log_transactions(settings, TABLE))
    return Runs(settings, killed, restored, ids, anew, aside, scan(settings, TABLE).collect())


def test_killed_in_mid_batch_it_goes_on_from_its_state_and_equals_the_reference(runs: Runs) -> None:
    begun, computed, again, *_ = runs.killed
    assert [(line["event"], line.get("step")) for line in (begun, computed)] == [("begin", None), ("step", "state")]
    assert again["event"] == "begin"
    assert seconds(computed) < seconds(again)
    assert begun["batch_id"] >= 1
    assert runs.restored.equal
    assert runs.restored.rows_compared > 10


def test_the_same_checkpoint_numbers_its_commits_under_one_id_and_each_once(runs: Runs) -> None:
    (first, *_), versions = zip(*runs.ids[0], strict=True)
    assert {app_id for app_id, _ in runs.ids[0]} == {first}
    assert list(versions) == list(range(-1, len(versions) - 1))


def test_a_new_checkpoint_has_a_new_id_and_its_first_commits_count(runs: Runs) -> None:
    before, after = ({app_id for app_id, _ in ids} for ids in runs.ids)
    assert before < after
    assert len(after) == 2
    assert runs.anew.equal


def test_a_poisonous_batch_is_set_aside_with_its_rows_and_the_error_and_the_stream_goes_on(runs: Runs) -> None:
    rows = scan(runs.settings, QUARANTINE).collect()
    assert set(rows["batch_id"]) == {runs.aside["batch_id"]}
    assert set(rows["sql_state"]) == {"23001"}
    assert set(rows["condition"]) == {runs.aside["set_aside"]} == {"DELTA_VIOLATE_CONSTRAINT_WITH_VALUES"}
    users = {user["user_id"]: user for user in map(json.loads, rows["row"])}
    assert set(users) == {"midas", "bob", "ana"}
    assert users["midas"]["revenue_cents"] == str(2 * MAX_CENTS)
    positions = {(r.partition, r.offset) for r in read_partitions(runs.settings, PURCHASES.topic) if r.key == b"midas"}
    assert {(r["partition"], r["offset"]) for r in users["midas"]["records"]} == positions
    assert set(runs.poisoned["user_id"]).isdisjoint({"midas", "bob"})


def test_what_came_after_the_poison_is_exact(runs: Runs) -> None:
    assert equal(runs.settings, runs.poisoned, "ana", "cleo")


def test_a_batch_set_aside_is_replayed_without_its_poison_and_undoes_nothing_newer(runs: Runs) -> None:
    batch = str(runs.aside["batch_id"])
    assert replay(runs.settings, batch, "--where", "user_id <> 'midas'").returncode == 0
    after = scan(runs.settings, TABLE).collect()
    assert equal(runs.settings, after, "ana", "bob", "cleo")
    assert after.filter(pl.col("user_id") != "bob").sort("user_id").equals(runs.poisoned.sort("user_id"))


def drain(settings: Settings, driver: Driver) -> None:
    """Waits until Spark has noted all that Kafka holds as done."""
    ends = end_offsets(settings, PURCHASES.topic)

    def done() -> bool:
        positions = spark_positions(settings, JOB).get(PURCHASES.topic, {})
        return all(positions.get(partition, 0) >= end for partition, end in ends.items())

    driver.wait_for(done)


def equal(settings: Settings, found: pl.DataFrame, *users: str) -> bool:
    """Whether the totals of these users, who all have some, are the reference's."""
    events = read_events(read_partitions(settings, PURCHASES.topic)).events
    rows = [row for row in METRICS["gold.user_totals"].compute(events) if row["user_id"] in users]
    expected = to_frame(table(TABLE), rows).sort("user_id")
    assert set(expected["user_id"]) == set(users)
    return found.filter(pl.col("user_id").is_in(users)).select(expected.columns).sort("user_id").equals(expected)


def replay(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.streaming.spark.stateful.replay", *arguments],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
