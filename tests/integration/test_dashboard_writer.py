"""The writer on real Kafka and Valkey, through what happens to it."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from experiments.faults import processes
from infra.local.java import java
from jobs.held import held_by
from jobs.streaming import dashboard_writer
from lakehouse.contracts.jobs import JOBS
from lakehouse.drained import lags
from lakehouse.kafka import commits
from lakehouse.kafka.consumer import end_offsets
from lakehouse.kafka.follower import Follower
from lakehouse.kafka.offsets import admin_client
from lakehouse.kafka.producer import build_producer
from lakehouse.kafka.topics import DASHBOARD, create_topics
from lakehouse.losses import RecordsLostError
from lakehouse.redis_values import PRODUCT_METRICS, LiveValues
from lakehouse.runtime.accept import accept_losses
from lakehouse.runtime.process import ProcessAdapter
from lakehouse.runtime.protocol import State
from lakehouse.services import ServiceDownError
from lakehouse.settings import ROOT, Settings
from tests import waiting
from tests.conftest import Stack
from tests.threads import in_thread
from tests.topics import make_anew

pytestmark = pytest.mark.stack

START = 1_709_280_000_000


@pytest.fixture
def settings(stack: Stack, request: pytest.FixtureRequest) -> Settings:
    name = f"w{abs(hash(request.node.name)) % 10**8}"
    settings = stack.ensure("kafka", "valkey").model_copy(update={"namespace": name})
    create_topics(settings)
    return settings


@pytest.fixture
def writer(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with running(settings, tmp_path / "log") as process:
        yield process


@contextmanager
def running(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The writer as a process; in the end it must stop when asked."""
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "jobs.streaming.dashboard_writer"],
            env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace},
            cwd=ROOT,
            stderr=stderr,
        ) as process,
    ):
        yield process
        process.terminate()
        assert process.wait(15) == 0


def window(product: str, seq: int, **changed: object) -> bytes:
    row = {"table": PRODUCT_METRICS, "generation": 1, "seq": seq, "product_id": product, "ctr": None}
    row |= {"window_start": START, "window_end": START + 300_000, "events": seq, "fingerprint": "1"}
    row |= dict.fromkeys(("impressions", "clicks", "conversions", "revenue_cents"), 0)
    return json.dumps(row | changed).encode()


def send(
    settings: Settings, seqs: range, *, of: str = "p", products: int = 40, broken: Sequence[bytes | None] = ()
) -> None:
    """Each sequence for each product, whose names begin with `of`; `broken` go between them."""
    producer = build_producer(settings, linger_ms=0)
    for seq in seqs:
        for product in range(products):
            for value in (window(f"{of}{product}", seq), *broken):
                producer.produce(settings.prefixed(DASHBOARD), key=f"{of}{product}", value=value)
    assert producer.flush(120) == 0  # the broker may be on its way back


def arrived(settings: Settings, *, of: str = "p") -> dict[str, int]:
    """The sequence of each of these products, once the writer has committed all that Kafka holds."""
    until(lambda: end_offsets(settings, DASHBOARD) == LiveValues(settings).positions())
    until(lambda: not any(lag.lag for lag in lags(settings, ["dashboard_writer"])))
    rows = LiveValues(settings).rows(PRODUCT_METRICS)
    return {row["product_id"]: row["events"] for row in rows if row["product_id"].startswith(of)}


def until(condition: Callable[[], bool]) -> None:
    """`waiting.until`, also while a service is on its way back."""

    def ask() -> bool:
        try:
            return condition()
        except ServiceDownError:
            return False

    waiting.until(ask)


def test_the_newest_of_each_value_arrives_and_broken_messages_hold_up_nothing(
    settings: Settings, writer: subprocess.Popen[bytes]
) -> None:
    broken = [b"{", None, b"[" * 50_000, b'{"table": "unknown"}', window("p0", 1, generation=-1)]
    broken += [window("p0", 1, generation=10**30), window("p0", 1, product_id=["p0"]), window("p0", 1, product_id=None)]
    broken += [window("p0", 99, window_start="2026-03-01T00:00:00Z"), window("p0", 99, fingerprint=1)]
    send(settings, range(1, 10), broken=broken)
    assert arrived(settings) == {f"p{n}": 9 for n in range(40)}


def test_it_goes_on_where_it_was_stopped(settings: Settings, tmp_path: Path) -> None:
    with running(settings, tmp_path / "first"):
        send(settings, range(1, 5))
        assert arrived(settings) == {f"p{n}": 4 for n in range(40)}
    positions = LiveValues(settings).positions()
    send(settings, range(5, 8))
    with running(settings, tmp_path / "second"):
        assert arrived(settings) == {f"p{n}": 7 for n in range(40)}
    assert f"carrying on from {dict(sorted(positions.items()))}" in (tmp_path / "second").read_text()


def test_offsets_that_kafka_has_forgotten_are_committed_again_though_nothing_comes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "RENEW_SECONDS", 0.5)
    with in_thread(dashboard_writer.run, settings):
        send(settings, range(1, 3))
        arrived(settings)
        group, admin = settings.prefixed("dashboard_writer"), admin_client(settings)
        admin.delete_consumer_groups([group])[group].result(30)
        until(lambda: not any(lag.lag for lag in lags(settings, ["dashboard_writer"])))


def test_a_dashboard_topic_that_is_made_anew_stops_the_writer_until_that_is_accepted(
    stack: Stack, settings: Settings, tmp_path: Path
) -> None:
    stack.ensure("minio", "postgres")
    with in_thread(dashboard_writer.run, settings):
        send(settings, range(1, 5))
        arrived(settings)
    make_anew(settings, DASHBOARD)
    send(settings, range(5, 20), of="q")  # more of each partition than before
    with pytest.raises(RecordsLostError, match=r"shop\.dashboard was deleted and made anew"):
        dashboard_writer.run(settings, threading.Event())
    job = JOBS["dashboard_writer"]
    assert accept_losses(settings, job, "test", held_by(settings, job.name))
    with in_thread(dashboard_writer.run, settings):
        assert arrived(settings, of="q") == {f"q{n}": 19 for n in range(40)}


@pytest.fixture
def supervised(stack: Stack) -> Iterator[tuple[Settings, ProcessAdapter]]:
    """The writer as an installation runs it, once its topic is there."""
    settings = stack.ensure("kafka", "valkey")
    create_topics(settings)
    supervisor, job = ProcessAdapter(settings), JOBS["dashboard_writer"]
    supervisor.submit(job)
    yield settings, supervisor
    supervisor.cancel(job)


@pytest.mark.parametrize("service", ["valkey", "kafka"])
def test_a_service_is_killed_while_values_flow_and_all_are_there_in_the_end(
    supervised: tuple[Settings, ProcessAdapter], service: str
) -> None:
    settings, supervisor = supervised
    send(settings, range(1, 20), of=service)
    until(lambda: bool(LiveValues(settings).positions()))
    processes.kill(settings, service)
    send(settings, range(20, 40), of=service)
    assert arrived(settings, of=service) == {f"{service}{n}": 39 for n in range(40)}
    status = supervisor.status(JOBS["dashboard_writer"])
    assert status.state is State.RUNNING
    if service == "valkey":
        # With Kafka it may be otherwise: librdkafka can read beyond its memory when a broker is back (its issue 5280).
        assert not status.restarts


def strike_off(settings: Settings) -> None:
    """Lets Kafka forget its only broker until that one starts anew: those who ask are told that there is none."""
    classpath = settings.cache.absolute() / "jars" / "kafka" / "*"
    tool = (
        java(settings),
        "-Xmx128m",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        str(classpath),
        "org.apache.kafka.tools.ClusterTool",
        "unregister",
    )
    subprocess.run((*tool, "--bootstrap-server", settings.kafka_bootstrap, "--id", "1"), check=True)


def test_kafka_says_for_a_moment_that_it_has_no_brokers_and_the_writer_goes_on_without_being_started_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a broker says that stood still for too long, when it goes on. The strategy is the one that never recovers."""
    built: list[Follower] = []

    def build(settings: Settings, group: str, **config: object) -> Follower:
        built.append(Follower(settings, group, **config, **{"metadata.recovery.strategy": "none"}))
        return built[-1]

    def has_lost_kafka() -> bool:
        try:
            return not built[-1].list_topics(timeout=1).brokers
        except (KafkaException, RuntimeError):  # it has no broker any more; it was closed for that
            return True

    monkeypatch.setattr(dashboard_writer, "Follower", build)
    with in_thread(dashboard_writer.run, settings):
        send(settings, range(1, 5))
        assert arrived(settings) == {f"p{n}": 4 for n in range(40)}
        strike_off(settings)
        until(has_lost_kafka)
        processes.kill(settings, "kafka")
        send(settings, range(5, 9))
        assert arrived(settings) == {f"p{n}": 8 for n in range(40)}


def test_a_batch_keeps_one_value_per_row(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    send(settings, range(1, 4), products=2, broken=[b"[]"])
    consumer = Follower(settings, "looker", **{"auto.offset.reset": "earliest"})
    consumer.subscribe([settings.prefixed(DASHBOARD)])
    messages = []
    until(lambda: len(messages) == 12 or bool(messages.extend(m for m in consumer.consume(12, 1) if not m.error())))
    consumer.close()
    with caplog.at_level(logging.ERROR):
        kept = dashboard_writer.newest(messages)
    assert sorted((value.key, value.seq) for value in kept) == [("p0", 3), ("p1", 3)]
    assert len(caplog.records) == 6
