"""The consumer that keeps its offsets with its results, on real Kafka and PostgreSQL, killed where it hurts."""

import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.consumer_groups import Member, owners
from jobs.held import held_by
from jobs.streaming.region_revenue.main import JOB, TOPIC, run
from jobs.streaming.region_revenue.seek import seek
from jobs.streaming.region_revenue.store import FencedError, Result, claim, connect, keep, require_own, set_back
from lakehouse.contracts.jobs import JOBS
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import build_consumer, end_offsets
from lakehouse.kafka.topics import create_topics
from lakehouse.losses import RecordsLostError
from lakehouse.produce import send_day
from lakehouse.runtime.accept import accept_losses
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.integration.region_revenue import SECONDS, assert_equals_the_reference, kept, wait_until_all_is_kept
from tests.integration.spark_lake import purchase, send
from tests.topics import make_anew
from tests.waiting import until

pytestmark = pytest.mark.stack

DAY = date(2026, 3, 2)


@pytest.fixture
def settings(stack: Stack) -> Settings:
    settings = stack.ensure("kafka", "postgres").model_copy(update={"namespace": f"r{uuid.uuid4().hex[:10]}"})
    create_topics(settings)
    return settings


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def send_purchases(settings: Settings, seed: int) -> None:
    """A day with duplicates and broken records."""
    day = ShopDay(DAY, 100, 400, seed, duplicates=0.1, broken=0.02)
    send_day(settings, day, judged=False, unsafe=True)


@contextmanager
def stuck_in_its_transaction(settings: Settings, partition: int, offset: int) -> Iterator[None]:
    """Whoever processes the record has moved its position and waits within its transaction while the block lasts."""
    with connect(settings) as blocker, blocker.transaction(force_rollback=True):
        blocker.execute(
            'INSERT INTO results (topic, partition, "offset", reason, record_hash, epoch)'
            " VALUES (%s, %s, %s, 'held', 0, 0)",
            (TOPIC, partition, offset),
        )
        send(settings, [purchase("ana", 1)], partition)

        with connect(settings) as looker:

            def waiting() -> bool:
                found = looker.execute(
                    "SELECT FROM pg_stat_activity WHERE query LIKE '%%INSERT INTO results%%'"
                    " AND wait_event_type = 'Lock' AND %s = ANY(pg_blocking_pids(pid))",
                    (blocker.info.backend_pid,),
                )
                return found.rowcount > 0

            until(waiting, SECONDS, "a result that waits for its commit")
        yield


def test_a_sum_that_fits_no_64_bits_is_null_as_in_the_table(settings: Settings) -> None:
    """With results of an earlier rule of validity: today's makes dead letters of such amounts."""
    at, cents = datetime(2026, 3, 1, 12, tzinfo=UTC), {"gold": 9 * 10**18, "north": 2**62}
    with connect(settings) as connection:
        claim(connection, TOPIC, [0], "test")
        results = [
            Result(TOPIC, 0, offset, None, "midas", f"e{offset}", at, json.dumps(region), cents[region], 1)
            for offset, region in enumerate(("gold", "gold", "north"))
        ]
        keep(connection, TOPIC, results, {0: 3}, {0: 1})
        found = connection.execute("SELECT region, purchases, revenue_cents FROM region_revenue_daily").fetchall()
    assert sorted(found) == [('"gold"', 2, None), ('"north"', 1, 2**62)]


def epochs(settings: Settings) -> dict[tuple[int, int], int]:
    """Under which claim each record was processed."""
    with connect(settings) as connection:
        rows = connection.execute('SELECT partition, "offset", epoch FROM results').fetchall()
    return {(partition, offset): epoch for partition, offset, epoch in rows}


def test_killed_after_processing_and_before_the_commit_it_processes_the_record_again(
    settings: Settings, log: Path, seed: int
) -> None:
    send_purchases(settings, seed)
    # Valid, and nothing that PostgreSQL's text could hold.
    topic, key, value = purchase("nul", 5)
    send(settings, [(topic, key, json.dumps(json.loads(value or b"") | {"region": "no\x00rth"}).encode())])
    with Member(settings, log) as first:
        wait_until_all_is_kept(settings)
        offset = end_offsets(settings, TOPIC)[3]
        with stuck_in_its_transaction(settings, 3, offset):
            first.kill()
    before = epochs(settings)
    assert (3, offset) not in before
    with Member(settings, log):
        wait_until_all_is_kept(settings)
    after = epochs(settings)
    assert after.pop((3, offset)) == 2
    assert after == before
    assert assert_equals_the_reference(settings) > 400


def test_a_start_goes_by_the_offsets_with_the_results_not_by_the_groups(
    settings: Settings, log: Path, seed: int
) -> None:
    send_purchases(settings, seed)
    with Member(settings, log):
        wait_until_all_is_kept(settings)
    before = epochs(settings)
    # As if it had been killed after the commit to PostgreSQL and before each one that it ever made to Kafka.
    group = build_consumer(settings, JOB)
    until(lambda: _commit(group, [TopicPartition(settings.prefixed(TOPIC), p, 0) for p in range(6)]), 60, "group empty")
    group.close()
    send(settings, [purchase("ana", 1)])
    with Member(settings, log):
        wait_until_all_is_kept(settings)
    after = epochs(settings)
    assert {position: after[position] for position in before} == before
    assert len(after) == len(before) + 1
    assert_equals_the_reference(settings)


def test_a_topic_that_is_made_anew_stops_it_until_that_is_accepted_and_what_it_had_stays(
    stack: Stack, settings: Settings, log: Path
) -> None:
    stack.ensure("minio")
    send(settings, [purchase("ana", minute, cents=1) for minute in range(9)])
    with Member(settings, log):
        wait_until_all_is_kept(settings)
    make_anew(settings, TOPIC)
    send(settings, [purchase("ana", minute, cents=100) for minute in range(20, 40)])
    with pytest.raises(RecordsLostError, match=rf"{TOPIC} was deleted and made anew"):
        run(settings, threading.Event())
    assert accept_losses(settings, JOBS[JOB], "test", held_by(settings, JOB))
    with Member(settings, log):
        wait_until_all_is_kept(settings)
    with connect(settings) as connection:
        found = connection.execute("SELECT purchases, revenue_cents FROM region_revenue_daily").fetchall()
    assert found == [(9 + 20, 9 * 1 + 20 * 100)]


def test_a_former_owner_writes_nothing(settings: Settings) -> None:
    result = Result(TOPIC, 0, 0, "not_json", None, None, None, None, None, 7)
    with connect(settings) as frozen, connect(settings) as heir:
        old = claim(frozen, TOPIC, [0, 1], "frozen")
        new = claim(heir, TOPIC, [0], "heir")
        with pytest.raises(FencedError, match=r"shop.purchases\[0\] was claimed by somebody else after epoch 1"):
            keep(
                frozen,
                TOPIC,
                [result._replace(partition=1), result],
                {1: 1, 0: 1},
                {p: c.epoch for p, c in old.items()},
            )
        assert (kept(heir), epochs(settings)) == ({}, {})
        keep(heir, TOPIC, [result], {0: 1}, {0: new[0].epoch})
        assert (kept(heir), epochs(settings)) == ({0: 1}, {(0, 0): 2})
        assert claim(heir, TOPIC, [0, 1], "heir")[0] == (3, 1)


def test_a_partition_that_is_not_as_far_yet_skips_nothing_when_it_is_sought(settings: Settings) -> None:
    with connect(settings) as connection:
        owner = claim(connection, TOPIC, [0], "owner")
        last = Result(TOPIC, 0, 4, "not_json", None, None, None, None, None, 7)
        keep(connection, TOPIC, [last], {0: 5}, {0: owner[0].epoch})
        assert set_back(connection, TOPIC, {0: 9, 1: 9}, "operator") == {0: 5, 1: None}
        assert set_back(connection, TOPIC, {0: 3, 1: 0}, "operator") == {0: 5, 1: None}
        assert kept(connection) == {0: 3}
        with pytest.raises(FencedError):
            require_own(connection, TOPIC, {0: owner[0].epoch})


def test_frozen_within_its_transaction_it_loses_its_partitions_and_writes_nothing_when_it_wakes(
    settings: Settings, log: Path, seed: int
) -> None:
    send_purchases(settings, seed)
    with Member(settings, log) as frozen:
        wait_until_all_is_kept(settings)
        offset = end_offsets(settings, TOPIC)[0]
        with stuck_in_its_transaction(settings, 0, offset):
            frozen.send(signal.SIGSTOP)
        with Member(settings, log) as heir:
            wait_until_all_is_kept(settings)
            assert epochs(settings)[0, offset] == 2
            frozen.send(signal.SIGCONT)
            send_purchases(settings, seed + 1)
            wait_until_all_is_kept(settings)
            with connect(settings) as connection:
                until(
                    lambda: {pid for _, pid in owners(connection).values()} == {frozen.pid, heir.pid},
                    SECONDS,
                    "both have partitions",
                )
            assert frozen.alive
    assert_equals_the_reference(settings)


def test_sought_to_a_time_it_makes_the_results_from_then_on_again_and_doubles_none(
    settings: Settings, log: Path, seed: int
) -> None:
    send_purchases(settings, seed)
    with Member(settings, log) as member:
        wait_until_all_is_kept(settings)
        earlier = epochs(settings)
        between = datetime.now(UTC) + timedelta(milliseconds=1)
        send_purchases(settings, seed + 1)
        wait_until_all_is_kept(settings)
        later = {at: epoch for at, epoch in epochs(settings).items() if at not in earlier}
        with connect(settings) as connection:
            connection.execute(
                "UPDATE results SET amount_cents = amount_cents + 1 WHERE reason IS NULL AND processed_at > %s",
                (between,),
            )
        # It has nothing to do, and learns of it all the same.
        sought = seek(settings, between, "test", timedelta())
        assert sum(each.again for each in sought) == len(later)
        until(lambda: all(epochs(settings)[at] > epoch for at, epoch in later.items()), SECONDS, "all is made again")
        assert {at: epochs(settings)[at] for at in earlier} == earlier
        assert member.alive
    assert_equals_the_reference(settings)


def test_postgres_is_killed_while_purchases_flow(settings: Settings, stack: Stack, log: Path, seed: int) -> None:
    with Member(settings, log) as member:
        send_purchases(settings, seed)
        wait_until_all_is_kept(settings)
        (postgres,) = (row for row in stack.local.status() if row.name == "postgres")
        assert postgres.pid
        os.kill(postgres.pid, signal.SIGKILL)
        send_purchases(settings, seed + 1)
        stack.ensure("postgres")
        wait_until_all_is_kept(settings)
        assert member.alive
    assert_equals_the_reference(settings)


def _commit(group: Consumer, offsets: list[TopicPartition]) -> bool:
    """Whether the group took it; it refuses while it still believes the killed one to be a member."""
    try:
        group.commit(offsets=offsets, asynchronous=False)
    except KafkaException:
        return False
    return True
