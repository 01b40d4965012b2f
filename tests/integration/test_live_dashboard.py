"""The live dashboard on real Kafka, Flink and Valkey, against the reference."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

import pytest
import redis

from jobs.streaming import dashboard_writer
from lakehouse.alerts import CtrAlert, alert_history
from lakehouse.compare.sent import alerts_sent
from lakehouse.contracts.events import PARTITIONS
from lakehouse.drained import wait_until_drained
from lakehouse.drained.positions import group_positions
from lakehouse.flink_rest import call_flink
from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.kafka.producer import build_producer
from lakehouse.kafka.topics import ALERTS, create_topics
from lakehouse.live_generations import delete_superseded
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValues, parse_value
from lakehouse.runtime import flink_home
from lakehouse.runtime.checkpoints import newest_checkpoint
from lakehouse.runtime.wanted import migrate, raise_generation
from lakehouse.semantics.log import EventLog, read_events
from lakehouse.semantics.metrics.alerts.reference import ctr_anomalies
from lakehouse.semantics.metrics.sessions.reference import current_sessions
from lakehouse.semantics.reference import METRICS
from lakehouse.settings import ROOT, Settings
from tests.conftest import Stack
from tests.threads import in_thread
from tests.waiting import until

pytestmark = pytest.mark.stack

MINUTE = 60_000
MORNING = 1_709_280_000_000
CLICKS, PURCHASES = "shop.clicks", "shop.purchases"


@dataclass
class Shop:
    """Sends records, and remembers valid ones to send them again."""

    settings: Settings
    random: random.Random
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self._producer = build_producer(self.settings, linger_ms=0)

    def event(self, topic: str, time_ms: int, user: str, product: str | None, **more: object) -> tuple[str, str, bytes]:
        self.number += 1
        time = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
        payload: dict[str, object] = {"event_id": f"e{self.number}", "event_time": time, "user_id": user}
        payload |= {"product_id": product, "region": "Île-de-France"} | more
        return topic, user, json.dumps(payload).encode()

    def click(self, time_ms: int, user: str, product: str | None, action: str = "click") -> tuple[str, str, bytes]:
        return self.event(CLICKS, time_ms, user, product, action=action, page="/")

    def anything(self) -> tuple[str, str, bytes]:
        """Few users and products over some hours in no order: sessions meet and merge, windows fill."""
        time = MORNING + self.random.randrange(36) * 10 * MINUTE + self.random.choice([-1, 0, 1, 40_000])
        user, product = f"usér-{self.random.randrange(25)}", self.random.choice(["mug", "lamp", "té", None])
        if product and self.random.random() < 0.1:
            amount = self.random.randrange(10_000)
            return self.event(PURCHASES, time, user, product, quantity=1, amount_cents=amount, currency="EUR")
        return self.click(time, user, product, self.random.choice(["impression", "impression", "click"]))

    def send(self, record: tuple[str, str | None, bytes | None], partition: int = -1) -> None:
        topic, key, value = record
        self._producer.produce(self.settings.prefixed(topic), key=key, value=value, partition=partition)

    def send_many(self, count: int) -> None:
        """Events, with copies, copies that say something else, copies in a foreign partition, and broken records."""
        for _ in range(count):
            record = self.anything()
            self.send(record)
            self.sent.append(record)
            topic, user, value = again = self.random.choice(self.sent)
            chance = self.random.random()
            if chance < 0.05:
                self.send(again)
            elif chance < 0.1:
                other = {"region": "elsewhere"} | ({"action": "click"} if topic == CLICKS else {"amount_cents": 1})
                self.send((topic, user, json.dumps(json.loads(value) | other).encode()))
            elif chance < 0.15:
                self.send((topic, user, value + b" "), self.random.randrange(PARTITIONS))
            elif chance < 0.17:
                self.send((topic, user, value[:-1]))
            elif chance < 0.18:
                self.send((topic, "somebody else", value))
            elif chance < 0.19:
                self.send((topic, user, None))
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(30) == 0


@dataclass(frozen=True)
class Job:
    """The submitted job, as a user meets it: a process that submits, and Flink's REST API."""

    settings: Settings

    def submit(self, generation: int, restore: str | None = None) -> str:
        arguments = ["--generation", str(generation), *(["--restore", restore] if restore else [])]
        done = subprocess.run(
            [flink_home.python(self.settings), "-m", "jobs.streaming.flink.live_dashboard", *arguments],
            env=os.environ | {"LAKEHOUSE_NAMESPACE": self.settings.namespace},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.split()[-1]

    def cancel(self, job_id: str) -> None:
        call_flink(self.settings, "PATCH", f"/jobs/{job_id}?mode=cancel")
        path = f"/jobs/{job_id}"
        until(lambda: call_flink(self.settings, "GET", path)["state"] == "CANCELED", 60, "the job is cancelled")


def drain(settings: Settings) -> None:
    wait_until_drained(settings, 120, tables=False)


def open_alerts(settings: Settings) -> list[CtrAlert]:
    return alert_history(alerts_sent(settings)).open


def behind(settings: Settings) -> int:
    """Records of clicks that the job's committed offsets do not cover."""
    committed = group_positions(settings, "live_dashboard").get(CLICKS, {})
    return sum(end - committed.get(partition, 0) for partition, end in end_offsets(settings, CLICKS).items())


@dataclass(frozen=True)
class Outcome:
    """What the scenario left, read once."""

    settings: Settings
    log: EventLog
    turns: list[dict[str, Any]]
    """All alerts, in order per window."""
    open_before_the_kill: list[tuple[str, int]]
    behind_at_restore: int


@pytest.fixture(scope="module")
def outcome(stack: Stack, seed: int) -> Iterator[Outcome]:
    """Half of the events; then, unseen by any checkpoint, more; the job dies, goes on, and gets the rest."""
    settings = stack.ensure("kafka", "minio", "valkey", "flink").model_copy(update={"namespace": "live"})
    create_topics(settings)
    job, shop = Job(settings), Shop(settings, random.Random(seed))
    with in_thread(dashboard_writer.run, settings):
        job_id = job.submit(generation=1)
        anomalous = [shop.click(MORNING, "eve", "lure") for _ in range(11)]
        anomalous += [shop.click(MORNING, "eve", "lure", "impression") for _ in range(20)]
        for record in anomalous:
            shop.send(record)
        shop.send_many(800)
        drain(settings)
        opened = [(alert.product_id, alert.window_start) for alert in open_alerts(settings)]

        shop.send_many(800)
        job.cancel(job_id)
        lag = behind(settings)
        checkpoint = newest_checkpoint(settings, "live_dashboard")
        assert checkpoint is not None
        job_id = job.submit(generation=1, restore=checkpoint)
        for _ in range(2):
            shop.send(shop.click(MORNING, "eve", "lure", "impression"))
        shop.send_many(800)
        drain(settings)
    log = read_events(record for topic in (CLICKS, PURCHASES) for record in read_partitions(settings, topic))
    turns = [json.loads(record.value or b"") for record in read_partitions(settings, ALERTS)]
    yield Outcome(settings, log, turns, opened, lag)
    job.cancel(job_id)


def test_the_events_are_hard_ones(outcome: Outcome) -> None:
    for account in outcome.log.accounts.values():
        assert account.used
        assert account.duplicate
        assert account.dead_letters
    foreign = {
        (click.user_id, click.partition) for click in outcome.log.events.clicks if click.user_id.startswith("usér")
    }
    assert len(foreign) > len({user for user, _ in foreign})


def test_windows_in_redis_equal_the_reference(outcome: Outcome) -> None:
    expected = METRICS["gold.product_metrics_5m"].compute(outcome.log.events)
    by_window = {(row["product_id"], row["window_start"]): row for row in expected}
    live = list(LiveValues(outcome.settings).rows(PRODUCT_METRICS))
    assert len(live) == len(by_window) > 100
    assert {(row["product_id"], row["window_start"]): row for row in live} == by_window


def test_current_sessions_in_redis_equal_the_reference(outcome: Outcome) -> None:
    expected = {row["user_id"]: row for row in current_sessions(outcome.log.events)}
    live = list(LiveValues(outcome.settings).rows(CURRENT_SESSIONS))
    assert len(live) == len(expected) == 26
    assert {row["user_id"]: row for row in live} == expected


def test_the_kill_fell_between_a_checkpoint_and_events_after_it(outcome: Outcome) -> None:
    assert outcome.behind_at_restore > 0


def test_an_alert_is_opened_and_then_withdrawn(outcome: Outcome) -> None:
    lure = [turn for turn in outcome.turns if turn["product_id"] == "lure"]
    assert [(t["state"], t["impressions"], t["clicks"], t["events"]) for t in lure] == [
        ("opened", 20, 11, 31),
        ("withdrawn", 22, 11, 33),
    ]
    assert lure[0]["dedup_key"] == f"ctr_anomaly/{MORNING}/lure/opened/31"
    assert ("lure", MORNING) in outcome.open_before_the_kill


def test_open_alerts_equal_the_reference(outcome: Outcome) -> None:
    live = {(alert.product_id, alert.window_start) for alert in open_alerts(outcome.settings)}
    assert live == {(row["product_id"], row["window_start"]) for row in ctr_anomalies(outcome.log.events)}


def test_turns_of_a_window_alternate(outcome: Outcome) -> None:
    states: dict[tuple[str, int], list[str]] = {}
    for turn in outcome.turns:
        states.setdefault((turn["product_id"], turn["window_start"]), []).append(turn["state"])
    for turns in states.values():
        assert turns == (["opened", "withdrawn"] * len(turns))[: len(turns)]


def test_values_of_a_superseded_generation_are_deleted(outcome: Outcome, stack: Stack) -> None:
    stack.ensure("postgres")
    settings, values = outcome.settings, LiveValues(outcome.settings)
    held = len(list(values.rows(PRODUCT_METRICS)))
    gone = next(values.rows(PRODUCT_METRICS)) | {"product_id": "gone", "event_date": None, "fingerprint": "1"}
    message = json.dumps(gone | {"table": PRODUCT_METRICS, "generation": 0, "seq": 1})
    values.replace([parse_value(message.encode())], {})
    migrate(settings)
    assert raise_generation(settings, "live_dashboard") == 1
    with in_thread(dashboard_writer.run, settings):
        assert delete_superseded(settings, 120) == 1
        assert delete_superseded(settings, 0) == 0
    assert len(list(values.rows(PRODUCT_METRICS))) == held


def test_a_redis_that_lost_everything_is_filled_again(outcome: Outcome) -> None:
    settings = outcome.settings
    values = LiveValues(settings)
    before = {(row["product_id"], row["window_start"]): row for row in values.rows(PRODUCT_METRICS)}
    password = settings.redis_password.get_secret_value()
    with redis.Redis(settings.host, settings.redis_port, password=password) as client:
        assert client.delete(*client.keys("live:live:*"))
    assert list(values.rows(PRODUCT_METRICS)) == []
    with in_thread(dashboard_writer.run, settings):
        deadline = monotonic() + 60
        while values.positions() != end_offsets(settings, "shop.dashboard"):
            assert monotonic() < deadline
            sleep(0.1)
    assert {(row["product_id"], row["window_start"]): row for row in values.rows(PRODUCT_METRICS)} == before
