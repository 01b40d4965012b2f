"""The Spark driver as a process of its own, on a tenant of its own, and literal records to send it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from lakehouse.compare.reference import Reference
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.delta import Once, append
from lakehouse.delta.write import to_arrow
from lakehouse.drained import wait_until_drained
from lakehouse.kafka.producer import build_producer
from lakehouse.settings import ROOT, Settings
from tests.waiting import until

Sent = tuple[str, str, bytes | None]
"""Topic, key, value."""

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

_serial = iter(range(10**9))


def clock(minutes: float) -> str:
    """The wire time so many minutes after noon."""
    return (NOON + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _record(topic: str, key: str, payload: dict[str, Any]) -> Sent:
    return topic, key, json.dumps({"event_id": f"e{next(_serial)}"} | payload).encode()


def click(user: str, minutes: float, product: str | None = "mug", action: str = "click") -> Sent:
    payload = {"user_id": user, "product_id": product, "action": action, "page": "/", "region": "north"}
    return _record("shop.clicks", user, {"event_time": clock(minutes)} | payload)


def purchase(user: str, minutes: float, product: str = "mug", cents: int = 500) -> Sent:
    payload = {"user_id": user, "product_id": product, "quantity": 1, "amount_cents": cents}
    rest = {"currency": "EUR", "region": "north"}
    return _record("shop.purchases", user, {"event_time": clock(minutes)} | payload | rest)


def transaction(user: str, minutes: float, cents: int = 500) -> Sent:
    payload = {"user_id": user, "amount_cents": cents, "merchant": "acme", "country": "DE", "priority": "normal"}
    return _record("shop.transactions", user, {"event_time": clock(minutes)} | payload)


def version(product: str, minutes: float, price: int) -> Sent:
    payload = {"product_id": product, "category": "kitchen", "brand": "acme", "price_cents": price}
    return _record("shop.products", product, {"event_time": clock(0)} | payload | {"valid_from": clock(minutes)})


def profile(user: str, minutes: float, segment: str) -> Sent:
    payload = {"user_id": user, "country": "DE", "segment": segment, "valid_from": clock(minutes)}
    return _record("shop.profiles", user, {"event_time": clock(0)} | payload)


def send(settings: Settings, records: Iterable[Sent], partition: int | None = None) -> None:
    """Sends in the given order; `partition` overrides where the key belongs, as a foreign producer might."""
    producer = build_producer(settings)
    where = {} if partition is None else {"partition": partition}
    for topic, key, value in records:
        producer.produce(settings.prefixed(topic), key=key, value=value, **where)
    assert producer.flush(30) == 0


def ingest_transactions(settings: Settings, reference: Reference) -> None:
    """What Flink's ingester, which doesn't run here, would have written."""
    for partition in reference.partitions:
        rows = to_arrow("bronze.transactions", reference.stored("bronze.transactions", partition))
        append(settings, "bronze.transactions", rows, Once.new("test"))


class Driver:
    """``python -m jobs.streaming.spark.main`` in a process group of its own, for as long as the block lasts; or another
    job's module. It finds MinIO where `settings` say."""

    def __init__(self, settings: Settings, job: str = SPARK_INGEST) -> None:
        self._settings = settings
        self._job = job
        self.log: Path = settings.home / "logs" / f"{settings.prefixed('spark', '_')}.log"

    def __enter__(self) -> "Driver":
        environment = os.environ | {
            "LAKEHOUSE_NAMESPACE": self._settings.namespace,
            "LAKEHOUSE_SPARK_TRIGGER_SECONDS": "1",
            "LAKEHOUSE_MINIO_PORT": str(self._settings.minio_port),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", JOBS[self._job].entry_point],
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL to Python and its JVM, whichever still lives."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def wait_for(self, condition: Callable[[], object], seconds: float = 900) -> None:
        """Waits until it holds, while the driver runs."""

        def holds() -> bool:
            self._still_runs()
            return bool(condition())

        until(holds, seconds, "what the driver is to do")

    def drain(self, seconds: float = 900) -> None:
        """Waits until all that was sent is in every table."""
        wait_until_drained(self._settings, seconds, lambda _: self._still_runs(), live=False)

    def wait(self, seconds: float = 400) -> int:
        """Waits until the driver ends by itself; returns its status."""
        return self._process.wait(seconds)

    def terminate(self) -> tuple[int, float]:
        """Asks the driver to stop; returns its status and the seconds that it took."""
        asked = time.monotonic()
        self._process.terminate()
        return self._process.wait(30), time.monotonic() - asked

    def _still_runs(self) -> None:
        status = self._process.poll()
        assert status is None, f"the driver ended with status {status}, see {self.log}:\n{self.log.read_text()[-3000:]}"
