"""The notifier against a real receiver of webhooks, Kafka and Valkey."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from jobs.streaming import notifier
from lakehouse.alerts import FRAUD_BLOCKED, FRAUD_FLAGGED, OPENED, WITHDRAWN, Alert, CtrAlert, FraudAlert, State
from lakehouse.drained import lags
from lakehouse.kafka.consumer import end_offsets
from lakehouse.kafka.producer import build_producer
from lakehouse.kafka.topics import ALERTS, create_topics
from lakehouse.settings import Settings
from tests import waiting
from tests.conftest import Stack
from tests.threads import in_thread
from tests.topics import make_anew, remove_records

pytestmark = pytest.mark.stack

until = partial(waiting.until, seconds=45)

START = 1_709_280_000_000


def alert(product: str = "mug", state: State = OPENED, events: int = 31) -> CtrAlert:
    key = f"ctr_anomaly/{START}/{product}/{state}/{events}"
    return CtrAlert("ctr_anomaly", product, START, START + 300_000, state, 20, 11, events, key)


def fraud(event_id: str, rule: str = FRAUD_FLAGGED, minute: int = 0) -> FraudAlert:
    time = START + minute * 60_000
    hour = time - time % 3_600_000
    key = f"{rule}/{hour}/ana/opened/{time}/{event_id}"
    return FraudAlert(rule, "ana", hour, hour + 3_600_000, OPENED, event_id, time, 1250, 6, 11, key)


class Receiver(ThreadingHTTPServer):
    """Takes webhooks; answers with the next of `answers`, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.taken: list[tuple[str, dict[str, Any]]] = []
        """Path and body of what was answered with 200, in order."""
        self.asked = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [body for taken, body in self.taken if taken == path]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked += 1
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 200:
            self.server.taken.append((self.path, body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def settings(stack: Stack, receiver: Receiver, request: pytest.FixtureRequest) -> Settings:
    base = stack.ensure("kafka", "valkey")
    mine = base.model_copy(
        update={
            "namespace": f"n{abs(hash(request.node.name)) % 10**8}",
            "slack_webhook_url": SecretStr(receiver.url("/slack/T0/secret-token")),
            "pagerduty_webhook_url": SecretStr(receiver.url("/v2/enqueue")),
            "pagerduty_routing_key": SecretStr("secret-routing-key"),
        }
    )
    create_topics(mine)
    return mine


def send(settings: Settings, *alerts: Alert) -> None:
    producer = build_producer(settings, linger_ms=0)
    for each in alerts:
        value = json.dumps({name: getattr(each, name) for name in each.__slots__})
        producer.produce(settings.prefixed(ALERTS), key=each.incident, value=value)
    assert producer.flush(20) == 0


def test_alerts_that_kafka_has_lost_are_told_in_the_log_and_those_behind_them_to_people(
    settings: Settings, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with in_thread(notifier.run, settings):
        send(settings, alert("mug", events=30))
        until(lambda: not any(lag.lag for lag in lags(settings, ["notifier"])) and len(receiver.taken) == 2)
    (partition,) = (p for p, end in end_offsets(settings, ALERTS).items() if end)
    send(settings, alert("mug", events=31), alert("mug", events=32))
    remove_records(settings, ALERTS, {partition: 2})
    with in_thread(notifier.run, settings):
        until(lambda: len(receiver.taken) == 4)
        said = f"nobody is told of what Kafka has lost: shop.alerts[{partition}] offsets 1-1 are gone"
        assert sum(said in message for message in caplog.messages) == 2, "each receiver's"
        make_anew(settings, ALERTS)
        send(settings, alert("mug", events=33))
        until(lambda: len(receiver.taken) == 6)


def test_an_alert_reaches_both_receivers_in_their_shape(settings: Settings, receiver: Receiver) -> None:
    with in_thread(notifier.run, settings):
        send(settings, alert("<mug>"), alert("<mug>", WITHDRAWN, 33))
        until(lambda: len(receiver.taken) == 4)
        until(lambda: not any(lag.lag for lag in lags(settings, ["notifier"])))
    opened, withdrawn = receiver.bodies("/slack/T0/secret-token")
    assert "&lt;mug&gt; is anomalous: 11 clicks on 20 impressions, 2024-03-01 08:00-08:05 UTC" in opened["text"]
    assert "no longer is anomalous" in withdrawn["text"]
    trigger, resolve = receiver.bodies("/v2/enqueue")
    assert trigger["routing_key"] == "secret-routing-key"
    assert trigger["event_action"] == "trigger"
    assert trigger["payload"]["severity"] == "warning"
    assert trigger["payload"]["source"] == "ctr_anomaly"
    assert trigger["payload"]["custom_details"] == {
        "product_id": "<mug>",
        "impressions": 20,
        "clicks": 11,
        "events": 31,
    }
    assert resolve == {
        "routing_key": "secret-routing-key",
        "event_action": "resolve",
        "dedup_key": trigger["dedup_key"],
    }


def test_alerts_wait_in_order_while_a_receiver_is_down(settings: Settings, receiver: Receiver) -> None:
    only_slack = settings.model_copy(update={"pagerduty_webhook_url": SecretStr("")})
    receiver.answers = [503, 503, 429]
    with in_thread(notifier.run, only_slack):
        send(settings, alert("first"), alert("first", WITHDRAWN, 40))
        until(lambda: len(receiver.taken) == 2)
    texts = [body["text"] for body in receiver.bodies("/slack/T0/secret-token")]
    assert "first is anomalous" in texts[0]
    assert "first no longer is" in texts[1]
    assert receiver.asked == 5


def test_a_stop_while_a_receiver_is_down_loses_nothing(settings: Settings, receiver: Receiver) -> None:
    only_slack = settings.model_copy(update={"pagerduty_webhook_url": SecretStr("")})
    receiver.answers = [503] * 1000
    with in_thread(notifier.run, only_slack):
        send(settings, alert())
        until(lambda: receiver.asked >= 1)
    assert receiver.taken == []
    receiver.answers = []
    with in_thread(notifier.run, only_slack):
        until(lambda: len(receiver.taken) == 1)


def test_a_receiver_that_is_down_does_not_hold_up_the_other(settings: Settings, receiver: Receiver) -> None:
    broken = settings.model_copy(update={"slack_webhook_url": SecretStr("http://127.0.0.1:9/nobody")})
    with in_thread(notifier.run, broken):
        send(settings, alert())
        until(lambda: len(receiver.bodies("/v2/enqueue")) == 1)


def test_an_alert_delivered_before_is_not_posted_again(settings: Settings, receiver: Receiver) -> None:
    only_slack = settings.model_copy(update={"pagerduty_webhook_url": SecretStr("")})
    with in_thread(notifier.run, only_slack):
        send(settings, alert(), alert(), replace(alert(), events=99, dedup_key="another turn"))
        until(lambda: len(receiver.taken) == 2)
    assert receiver.asked == 2


def test_a_burst_of_fraud_is_heard_of_once_an_hour_and_rule(settings: Settings, receiver: Receiver) -> None:
    alerts = [fraud("t5"), fraud("t6"), fraud("t7", FRAUD_BLOCKED), fraud("t8", FRAUD_BLOCKED), fraud("t9", minute=60)]
    with in_thread(notifier.run, settings):
        send(settings, *alerts)
        until(lambda: len(receiver.taken) == 6)
        until(lambda: not any(lag.lag for lag in lags(settings, ["notifier"])))
    texts = {body["text"] for body in receiver.bodies("/slack/T0/secret-token")}
    assert texts == {
        ":rotating_light: Transaction t5 of ana was flagged: 6 transactions in 10 minutes, 2024-03-01 08:00:00 UTC",
        ":rotating_light: Transaction t7 of ana was blocked: 11 transactions in an hour, 2024-03-01 08:00:00 UTC",
        ":rotating_light: Transaction t9 of ana was flagged: 6 transactions in 10 minutes, 2024-03-01 09:00:00 UTC",
    }
    triggers = receiver.bodies("/v2/enqueue")
    assert {t["dedup_key"] for t in triggers} == {a.incident for a in (alerts[0], alerts[2], alerts[4])}
    assert {t["payload"]["custom_details"]["event_id"] for t in triggers} == {"t5", "t7", "t9"}


def test_an_alert_that_is_refused_lets_the_next_one_through(settings: Settings, receiver: Receiver) -> None:
    only_slack = settings.model_copy(update={"pagerduty_webhook_url": SecretStr("")})
    receiver.answers = [400]
    with in_thread(notifier.run, only_slack):
        send(settings, alert(), alert(state=WITHDRAWN, events=32))
        until(lambda: len(receiver.taken) == 1)
    assert "no longer" in receiver.taken[0][1]["text"]


def test_messages_that_nobody_could_render_are_named_and_passed_over(
    settings: Settings, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    good = asdict(alert("good"))
    bad = [b'{"rule": "no', b"[" * 50_000, b"\xff{", None]
    bad += [
        json.dumps(asdict(fraud("t5")) | {"window_end": START * 1_000_000}).encode(),  # nanoseconds
        json.dumps(good | {"window_start": "2026-03-01T00:00:00Z"}).encode(),
        json.dumps(good | {"product_id": "\ud800"}).encode(),
        json.dumps(good | {"dedup_key": ["b09"]}).encode(),
    ]
    producer = build_producer(settings, linger_ms=0)
    for value in bad:
        producer.produce(settings.prefixed(ALERTS), key=alert("good").incident, value=value)
    assert producer.flush(20) == 0
    send(settings, alert("good"))
    with in_thread(notifier.run, settings):
        until(lambda: len(receiver.taken) == 2)
        until(lambda: not any(lag.lag for lag in lags(settings, ["notifier"])))
    assert {path for path, _ in receiver.taken} == {"/slack/T0/secret-token", "/v2/enqueue"}
    said = [r.getMessage() for r in caplog.records if r.name == notifier.__name__ and r.levelno == logging.ERROR]
    assert len(said) == 2 * len(bad)
    assert all(re.match(r"shop\.alerts partition \d offset \d: not an alert: ", line) for line in said)


def test_secrets_stay_out_of_the_log(settings: Settings, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=notifier.__name__)
    receiver.answers = [503, 404]
    with in_thread(notifier.run, settings):
        send(settings, alert())
        until(lambda: len(receiver.taken) == 2)
    messages = [r.getMessage() for r in caplog.records if r.name == notifier.__name__]
    assert any("not delivered" in message for message in messages)
    assert any("delivered ctr_anomaly" in message for message in messages)
    assert not [m for m in messages if "secret" in m]


def test_without_receivers_alerts_are_logged(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    settings = stack.ensure("kafka", "valkey").model_copy(update={"namespace": "nobody"})
    create_topics(settings)
    caplog.set_level(logging.INFO, logger=notifier.__name__)
    with in_thread(notifier.run, settings):
        send(settings, alert("lamp"))
        until(lambda: any("lamp is anomalous" in record.getMessage() for record in caplog.records))
