"""From Kafka's arrival time to Redis: `python -m benchmarks.live_freshness`.

Needs `lakehouse up` and the jobs live_dashboard and dashboard_writer. A generated day flows at `--rate` while ten
probes a second, each a user of its own, are looked for in Redis. The figure is when a probe was seen less its
arrival, so it includes up to `LOOK_SECONDS` of looking.
"""

import argparse
import json
import statistics
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import Message

from infra.local.machine import describe
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.producer import build_producer
from lakehouse.produce import send_day
from lakehouse.redis_values import CURRENT_SESSIONS
from lakehouse.settings import Settings, load_settings

RESULT = Path(__file__).with_name("results") / "live_freshness.json"
PROBES_PER_SECOND = 10
LOOK_SECONDS = 0.02
LOST_SECONDS = 60


class Probes:
    """Sends probes and looks for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = build_producer(settings, linger_ms=0)
        self._run = f"{time.time_ns():x}"
        self._waiting: dict[str, int] = {}
        self.milliseconds: list[float] = []

    def send(self, number: int) -> None:
        user = f"probe-{self._run}-{number}"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {
            "event_id": user,
            "event_time": now,
            "user_id": user,
            "action": "impression",
            "page": "/",
            "region": "",
        }

        def arrived(error: object, message: Message) -> None:
            assert error is None, error
            self._waiting[user] = message.timestamp()[1]

        topic = self._settings.prefixed("shop.clicks")
        self._producer.produce(topic, key=user, value=json.dumps(event), on_delivery=arrived)

    def look(self, client: redis.Redis, name: str) -> None:
        self._producer.poll(0)
        users = list(self._waiting)
        for user, held in zip(users, client.hmget(name, users) if users else [], strict=True):
            if held is not None:
                self.milliseconds.append(time.time() * 1000 - self._waiting.pop(user))

    @property
    def waiting(self) -> int:
        return len(self._waiting) + len(self._producer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1_000, help="events per second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    settings, machine = load_settings(), describe()
    day = ShopDay(date(2026, 3, 9), arguments.rate * arguments.seconds, 0, arguments.seed)
    load = threading.Thread(
        target=send_day, args=(settings, day), kwargs={"judged": False, "rate": arguments.rate}, daemon=True
    )
    password = settings.redis_password.get_secret_value()
    client = redis.Redis(settings.host, settings.redis_port, password=password)
    name, probes = settings.prefixed(f"live:{CURRENT_SESSIONS}", ":"), Probes(settings)
    load.start()
    began, sent = time.monotonic(), 0
    while load.is_alive() or probes.waiting:
        elapsed = time.monotonic() - began
        while load.is_alive() and sent < elapsed * PROBES_PER_SECOND:
            probes.send(sent)
            sent += 1
        probes.look(client, name)
        assert elapsed < arguments.seconds * 2 + LOST_SECONDS, f"{probes.waiting} probes never came"
        time.sleep(LOOK_SECONDS)
    cuts = statistics.quantiles(probes.milliseconds, n=100)
    result: dict[str, Any] = {
        "benchmark": "live_freshness",
        "machine": machine,
        "seed": arguments.seed,
        "events_per_second": arguments.rate,
        "seconds": arguments.seconds,
        "probes": sent,
        "p50_ms": round(cuts[49]),
        "p99_ms": round(cuts[98]),
        "max_ms": round(max(probes.milliseconds)),
    }
    assert len(probes.milliseconds) == sent
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
