"""Drained and lag on real Kafka and MinIO, and the commands that wait for it as they are typed."""

import io
import json
import logging
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Thread

import polars as pl
import pytest
from confluent_kafka import TopicPartition

from jobs.batch.live_first import LiveFirst
from lakehouse.compare.reference import Reference
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, create_table
from lakehouse.delta.notes import Asked
from lakehouse.delta.write import to_arrow
from lakehouse.drained import Drain, NotDrainedError, kafka_ends, lags, look, oldest_owed, wait_until_drained
from lakehouse.drained.hops import REFRESHES, SPARK
from lakehouse.drained.positions import DASHBOARD_WRITER, group_positions
from lakehouse.drained.refreshes import outdated
from lakehouse.drained.waiting import owed
from lakehouse.kafka.consumer import build_consumer, read_partitions
from lakehouse.kafka.partitioner import partition_of
from lakehouse.kafka.sender import Sender
from lakehouse.kafka.topics import DASHBOARD, create_topics
from lakehouse.object_store import build_client
from lakehouse.runtime.wanted import Wanted, migrate, set_wanted
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import last_spark_batch
from tests import strategies
from tests.command import lakehouse
from tests.conftest import Stack
from tests.integration.spark_lake import click, purchase
from tests.reference_lake import fill
from tests.transactions import Transactions
from tests.waiting import until

pytestmark = pytest.mark.stack

Offsets = Mapping[str, Mapping[int, int]]

FROM_THE_START: dict[str, str | bool] = {"auto.offset.reset": "earliest", "enable.partition.eof": False}


@pytest.fixture
def tenant(stack: Stack) -> Settings:
    own = stack.ensure("kafka", "minio").model_copy(update={"namespace": f"d{uuid.uuid4().hex[:10]}"})
    create_topics(own)
    return own


def send(settings: Settings) -> Offsets:
    """A click and a purchase; returns where the topics end now."""
    with Sender(settings) as sender:
        sender.send([(t, k.encode(), v) for t, k, v in (click("ana", 0), purchase("ana", 1))])
    return kafka_ends(settings)


def checkpoint(settings: Settings, batch: int, offsets: Offsets, *, committed: bool) -> None:
    """What Spark leaves of a micro-batch in its checkpoint."""
    client = build_client(settings)
    prefix = settings.checkpoint_path(SPARK_INGEST, "s3").removeprefix(f"s3://{settings.bucket}/")
    source = json.dumps({settings.prefixed(topic): partitions for topic, partitions in offsets.items()})
    files = {f"offsets/{batch}": f"v1\n{{}}\n{source}"} | ({f"commits/{batch}": "v1\n{}"} if committed else {})
    for name, text in files.items():
        client.put_object(settings.bucket, f"{prefix}/{name}", io.BytesIO(text.encode()), len(text))


def total(settings: Settings, consumer: str) -> int:
    return sum(lag.lag for lag in lags(settings, [consumer]))


def test_spark_is_behind_until_the_batch_is_committed(tenant: Settings) -> None:
    ends = send(tenant)
    assert total(tenant, SPARK_INGEST) == 2
    checkpoint(tenant, 0, ends, committed=False)
    assert total(tenant, SPARK_INGEST) == 2
    checkpoint(tenant, 0, ends, committed=True)
    assert total(tenant, SPARK_INGEST) == 0
    send(tenant)
    assert total(tenant, SPARK_INGEST) == 2


def test_the_oldest_record_owed_is_the_first_after_the_position(tenant: Settings) -> None:
    first = send(tenant)
    send(tenant)
    arrived = {
        topic: sorted(record.arrival_ms / 1000 for record in read_partitions(tenant, topic))
        for topic in ("shop.clicks", "shop.purchases")
    }
    assert oldest_owed(tenant, lags(tenant, [SPARK_INGEST])) == min(times[0] for times in arrived.values())

    checkpoint(tenant, 0, first, committed=True)
    assert oldest_owed(tenant, lags(tenant, [SPARK_INGEST])) == min(times[1] for times in arrived.values())

    checkpoint(tenant, 1, kafka_ends(tenant), committed=True)
    assert oldest_owed(tenant, lags(tenant, [SPARK_INGEST])) is None


def test_the_last_spark_batch_is_that_with_the_highest_number_that_is_committed(tenant: Settings) -> None:
    assert last_spark_batch(tenant, SPARK_INGEST) is None
    ends = send(tenant)
    for number in (9, 10):
        checkpoint(tenant, number, ends, committed=True)
    checkpoint(tenant, 11, ends, committed=False)

    last = last_spark_batch(tenant, SPARK_INGEST)

    assert last is not None
    assert last.number == 10
    assert abs((datetime.now(UTC) - last.at).total_seconds()) < 60


def test_the_newest_committed_batch_counts_by_number(tenant: Settings) -> None:
    early = send(tenant)
    late = send(tenant)
    checkpoint(tenant, 9, early, committed=True)
    checkpoint(tenant, 10, late, committed=True)
    assert total(tenant, SPARK_INGEST) == 0


def test_a_group_is_behind_what_it_has_not_committed(tenant: Settings) -> None:
    send(tenant)
    assert total(tenant, "live_dashboard") == 2
    consumer = build_consumer(tenant, "live_dashboard", **FROM_THE_START)
    consumer.subscribe([tenant.prefixed("shop.clicks")])
    (message,) = consumer.consume(1, timeout=60)
    consumer.commit(message, asynchronous=False)
    consumer.close()
    assert group_positions(tenant, "live_dashboard") == {"shop.clicks": {message.partition(): 1}}
    assert total(tenant, "live_dashboard") == 1


def commits(settings: Settings, group: str, topic: str, position: int) -> None:
    """`group` says that it is done with a topic's records before `position`, all of which lie in ana's partition."""
    consumer = build_consumer(settings, group)
    place = TopicPartition(settings.prefixed(topic), partition_of(b"ana"), position)
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()


def test_a_partition_that_ends_with_control_records_is_drained(tenant: Settings) -> None:
    transactions = Transactions(tenant, "shop.clicks")
    transactions.commit(click("ana", 0)[2] or b"", key=b"ana")
    transactions.abort(click("ana", 1)[2] or b"", key=b"ana")
    assert total(tenant, "live_dashboard") == 1
    commits(tenant, "live_dashboard", "shop.clicks", 1)  # as Flink does: after the last record that it got
    assert total(tenant, "live_dashboard") == 0
    assert owed(tenant, "live_dashboard") == (0, 0.0)
    assert not [d.advice for d in look(tenant, ["live_dashboard"]).diagnoses if d.advice]


def test_lag_counts_records_and_not_what_lies_between_them(tenant: Settings) -> None:
    transactions = Transactions(tenant, "shop.clicks")
    for minute in range(3):
        transactions.commit(click("ana", minute)[2] or b"", key=b"ana")
        transactions.abort(click("ana", minute + 0.5)[2] or b"", key=b"ana")
    assert total(tenant, "live_dashboard") == 3
    commits(tenant, "live_dashboard", "shop.clicks", 1)
    assert total(tenant, "live_dashboard") == 2


def test_drained_waits_for_nothing_that_an_open_transaction_holds_back(tenant: Settings) -> None:
    checkpoint(tenant, 0, send(tenant), committed=True)
    with Transactions(tenant, "shop.clicks").open(click("ana", 2)[2] or b"", key=b"ana"):
        held_back = send(tenant)
        drain = Drain.now(tenant, live=False)
        assert [(hop.name, hop.records) for hop in drain.look().hops] == [(SPARK, 1)]  # the purchase
        checkpoint(tenant, 1, held_back, committed=True)
        assert drain.look().drained
    assert total(tenant, SPARK_INGEST) == 2


def test_drained_looks_at_sparks_checkpoint_first(tenant: Settings) -> None:
    ends = send(tenant)
    drain = Drain.now(tenant, live=False)
    assert [(hop.name, hop.records) for hop in drain.look().hops] == [(SPARK, 2)]
    checkpoint(tenant, 0, ends, committed=True)
    assert [(hop.name, hop.done) for hop in drain.look().hops] == [(SPARK, True), (REFRESHES, True)]
    assert drain.look().drained


def test_what_comes_after_the_moment_is_not_waited_for(tenant: Settings) -> None:
    checkpoint(tenant, 0, send(tenant), committed=True)
    drain = Drain.now(tenant, live=False)
    send(tenant)
    assert drain.look().drained
    assert not Drain.now(tenant, live=False).look().drained


def test_a_table_computed_from_an_older_silver_version_is_waited_for(tenant: Settings) -> None:
    checkpoint(tenant, 0, send(tenant), committed=True)
    reference = Reference.read(tenant, kafka_ends(tenant))
    silver = append(
        tenant, "silver.purchases", to_arrow("silver.purchases", reference.frame("silver.purchases")), Once.new("t")
    )
    name = "gold.user_totals"
    rows = to_arrow(name, reference.frame(name).with_columns(changed_by=pl.lit("test")))
    create_table(tenant, name)
    note = Asked(scope="test", read_versions={"silver.purchases": silver - 1})
    append(tenant, name, rows, Once.new("t"), note)
    assert outdated(tenant) == {name: f"silver.purchases {silver - 1} of {silver}"}
    with pytest.raises(NotDrainedError, match=name):
        wait_until_drained(tenant, 0, live=False)
    append(tenant, name, rows.slice(0, 0), Once.new("t"), note.reading({"silver.purchases": silver}))
    assert outdated(tenant) == {}
    assert wait_until_drained(tenant, 0, live=False) == kafka_ends(tenant)


def test_the_lag_command(tenant: Settings) -> None:
    send(tenant)
    shown = lakehouse(tenant, "lag", SPARK_INGEST)
    assert shown.returncode == 0, shown.stderr
    assert f"Behind: {SPARK_INGEST}" in shown.stdout
    parsed = json.loads(lakehouse(tenant, "lag", "--format", "json").stdout)
    assert sum(lag["lag"] for lag in parsed if lag["consumer"] == SPARK_INGEST) == 2
    assert "known: spark_lakehouse" in lakehouse(tenant, "lag", "nobody").stderr


def test_the_lag_command_says_why_and_how_long(tenant: Settings) -> None:
    send(tenant)
    consumed = build_consumer(tenant, "live_dashboard")
    consumed.commit(
        offsets=[TopicPartition(tenant.prefixed("shop.clicks"), p, 0) for p in range(6)], asynchronous=False
    )
    consumed.close()
    with Sender(tenant) as sender:
        sender.send([(t, b"an\x00a", v) for t, _, v in (click("ana", n) for n in range(3_000))])
    (hot,) = (p for p, end in kafka_ends(tenant)["shop.clicks"].items() if end > 1)
    shown = lakehouse(tenant, "lag", "live_dashboard", "--rate", "100")
    assert shown.returncode == 0, shown.stderr
    assert "live_dashboard on shop.clicks: 3,001 records; done in 30 s" in shown.stdout
    assert f"partition {hot}: 100% of what came last has the key 'an\\u0000a': " in shown.stdout
    assert "on shop.purchases: 1 record; done in" in shown.stdout
    assert "it has never said how far it is" in shown.stdout, shown.stdout
    parsed = json.loads(lakehouse(tenant, "lag", "live_dashboard", "--measure", "1", "--format", "json").stdout)
    (of_hot,) = (each for each in parsed if each["topic"] == "shop.clicks" and each["partition"] == hot)
    assert (of_hot["causes"], of_hot["consumed_per_second"], of_hot["catch_up_seconds"]) == (["stopped"], 0, None)


def test_the_compare_command(tenant: Settings) -> None:
    ends = send(tenant)
    waited = lakehouse(tenant, "compare", "gold.user_totals", "--wait-seconds", "0")
    assert (waited.returncode, waited.stdout) == (1, "")
    assert "not drained after 0 s, waiting for Spark's checkpoint: shop.clicks" in waited.stderr
    checkpoint(tenant, 0, ends, committed=True)
    absent = lakehouse(tenant, "compare", "gold.user_totals")
    assert absent.returncode == 1
    assert "missing: user_id='ana'" in absent.stdout
    reference = Reference.read(tenant, ends)
    rows = reference.frame("gold.user_totals").with_columns(
        pl.lit("t").alias(c) for c in table("gold.user_totals").not_compared
    )
    append(tenant, "gold.user_totals", to_arrow("gold.user_totals", rows), Once.new("t"))
    equal = lakehouse(tenant, "compare", "gold.user_totals", "--format", "json")
    assert equal.returncode == 0, equal.stderr
    assert json.loads(equal.stdout)["equal"] is True


def test_the_audit_command(stack: Stack, tenant: Settings) -> None:
    stack.ensure("valkey")
    fill(tenant, [strategies.click("ana", "10:00"), strategies.purchase("bo", "11:00")])
    waited = lakehouse(tenant, "audit", "--no-live", "--wait", "0")
    assert (waited.returncode, waited.stdout) == (2, "")
    assert "not drained after 0 s, waiting for Spark's checkpoint: shop.clicks" in waited.stderr
    checkpoint(tenant, 0, kafka_ends(tenant), committed=True)
    clean = lakehouse(tenant, "audit", "--no-live", "--json")
    assert clean.returncode == 0, clean.stderr
    found = json.loads(clean.stdout)
    assert (found["clean"], found["lost"], found["records"]) == (True, 0, 2)
    ends = send(tenant)
    checkpoint(tenant, 1, ends, committed=True)
    lost = lakehouse(tenant, "audit", "--no-live", "--wait", "0")
    assert lost.returncode == 1, lost.stderr
    assert "1 lost in bronze.clicks: shop.clicks[" in lost.stdout
    assert "2 lost, 0 doubled, 0 altered of 4 records" in lost.stdout


def test_a_recomputation_pauses_while_a_stream_that_is_wanted_falls_behind(
    tenant: Settings, stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    stack.ensure("postgres")
    migrate(tenant)
    caplog.set_level(logging.INFO, "replay")

    def owe_one_more() -> None:
        with Sender(tenant) as sender:
            sender.send([(DASHBOARD, b"row", b"{}")])

    def paused() -> bool:
        owe_one_more()
        return f"paused before a day while live streams fall behind: {DASHBOARD_WRITER} owes" in caplog.text

    owe_one_more()
    until(lambda: owed(tenant, DASHBOARD_WRITER)[1] > JOBS[DASHBOARD_WRITER].freshness_seconds, 60, "it is late")
    LiveFirst(tenant)("a day")  # nobody wants it to run
    assert not caplog.text
    set_wanted(tenant, DASHBOARD_WRITER, Wanted.RUNNING, "test")
    recomputation = Thread(target=LiveFirst(tenant), args=("a day",))
    recomputation.start()
    until(paused, 60, "a pause", every=1)
    recomputation.join(60)  # it owes no more than before
    assert not recomputation.is_alive()
