"""What a rebalance costs: `python -m benchmarks.consumer_groups`. Needs `lakehouse up kafka postgres`.

Groups of 3, 6 and 7 processes of `jobs.streaming.region_revenue` share the six partitions of `shop.purchases`, under
the eager `range` assignor and under `cooperative-sticky`, while every partition gets records at a steady rate. Then
one that has partitions gets SIGKILL, or one more joins. All figures come from what the processes wrote: who claimed
which partition when, and when each record was processed.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from infra.local.machine import describe
from jobs.streaming.region_revenue.main import ASSIGNORS, JOB, SESSION_SECONDS, TOPIC
from jobs.streaming.region_revenue.store import connect, schema_name
from lakehouse.contracts.events import PARTITIONS
from lakehouse.contracts.times import format_time
from lakehouse.kafka.producer import build_producer
from lakehouse.kafka.topics import TOPICS, create_topics
from lakehouse.settings import ROOT, Settings, load_settings

RESULT = Path(__file__).with_name("results") / "consumer_groups.json"
SIZES = (3, 6, 7)
RATE = 20
"""Records per second and partition: what a pause is measured against."""
STEADY_SECONDS = 3.0
PATIENCE_SECONDS = 120

Owners = dict[int, tuple[int, int]]
"""By partition, the epoch of its newest claim and the process that made it."""


class Member:
    """A process of the group. At the block's end it is asked to stop, and must, unless it was killed."""

    def __init__(self, settings: Settings, log: Path, *arguments: str) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobs.streaming.region_revenue.main", *arguments],
                env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace},
                cwd=ROOT,
                stderr=output,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.send(signal.SIGKILL)
        self._process.terminate()
        status = self._process.wait(30)
        assert kind is not None or status in (0, -signal.SIGKILL), status

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self._process.wait(30)


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What came of a change in a group of `members`.

    `each_before`, `each_after`: how many partitions those members had that had any. `moved`: partitions that went from
    one process to another. `interrupted`: partitions that were taken from a living process and came back to it.
    `settled_seconds`: from the change until no process claimed anything any more.
    Pauses: the longest time without a processed record, by partition; of those that moved, and of the others. Records
    are kept every `BATCH_SECONDS`, which is the least that a pause can be.
    """

    assignor: str
    members: int
    change: str
    idle_before: int
    each_before: list[int]
    each_after: list[int]
    moved: int
    interrupted: int
    settled_seconds: float
    pause_of_moved_ms: list[int]
    pause_of_others_ms: list[int]


def owners(connection: psycopg.Connection) -> Owners:
    """Who has which partition now."""
    rows = connection.execute(
        "SELECT partition, epoch, owner FROM claims JOIN positions USING (topic, partition, epoch) WHERE topic = %s",
        (TOPIC,),
    )
    return {partition: (epoch, int(owner.rpartition(":")[2])) for partition, epoch, owner in rows}


@contextmanager
def steady_purchases(settings: Settings) -> Iterator[None]:
    """`RATE` purchases per second into each partition, while the block lasts."""
    ended = threading.Event()

    def send() -> None:
        producer, started, sent = build_producer(settings, linger_ms=0), time.monotonic(), 0
        while not ended.wait(max(0.0, started + sent / RATE - time.monotonic())):
            for partition in range(PARTITIONS):
                user = f"u{partition}"
                purchase = {"event_id": f"e{sent}", "event_time": format_time(time.time_ns() // 1_000_000)}
                purchase |= {"user_id": user, "product_id": "mug", "quantity": 1, "amount_cents": 100}
                value = json.dumps(purchase | {"currency": "EUR", "region": "north"})
                producer.produce(settings.prefixed(TOPIC), key=user, value=value, partition=partition)
            producer.poll(0)
            sent += 1
        assert producer.flush(30) == 0

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure(settings: Settings, assignor: str, members: int, change: str, log: Path, joining: int = 1) -> Rebalance:
    """A group of so many, and what its `change` did: ``kill`` of one that has partitions, or ``join`` of `joining`."""
    create_topics(settings)
    with connect(settings) as connection, ExitStack() as stack, steady_purchases(settings):
        group = [stack.enter_context(Member(settings, log, "--assignor", assignor)) for _ in range(members)]
        living = {member.pid for member in group}
        before = _settled(settings, connection, living)
        idle = len(living - {pid for _, pid in before.values()})
        changed = _now(connection)
        if change == "kill":
            victim = next(member for member in group if member.pid == before[0][1])
            victim.kill()
            living.remove(victim.pid)
        else:
            more = [stack.enter_context(Member(settings, log, "--assignor", assignor)) for _ in range(joining)]
            living.update(member.pid for member in more)
        after = _settled(settings, connection, living)
        last_claim, pauses = _seen_since(connection, changed)
    moved = {p for p in after if after[p][1] != before[p][1]}
    return Rebalance(
        assignor,
        members,
        change,
        idle,
        _each(before),
        _each(after),
        len(moved),
        sum(after[p][0] > before[p][0] and p not in moved for p in after),
        round(last_claim, 2),
        sorted(ms for p, ms in pauses.items() if p in moved),
        sorted(ms for p, ms in pauses.items() if p not in moved),
    )


def _each(found: Owners) -> list[int]:
    return sorted(Counter(pid for _, pid in found.values()).values())


def _settled(settings: Settings, connection: psycopg.Connection, living: set[int]) -> Owners:
    """Who has what, once the group consists of the `living` processes, idle ones included, and for `STEADY_SECONDS` all
    partitions have belonged to as many of them as can have one, and been processed."""
    seen, since = owners(connection), time.monotonic()
    deadline = since + PATIENCE_SECONDS
    busy = min(len(living), PARTITIONS)
    while True:
        time.sleep(0.1)
        now = owners(connection)
        pids = {pid for _, pid in now.values()}
        if now != seen or len(now) < PARTITIONS or not pids <= living or len(pids) != busy:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > STEADY_SECONDS and _all_processed_lately(connection):
            if _members(settings) == living:
                return now
            since = time.monotonic()
        assert time.monotonic() < deadline, f"not settled within {PATIENCE_SECONDS} s: {now} of {living}"


def _members(settings: Settings) -> set[int]:
    """The processes that the group consists of, as Kafka has it; none while it rebalances."""
    group = settings.prefixed(JOB)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    described = admin.describe_consumer_groups([group])[group].result(PATIENCE_SECONDS)
    if described.state is not ConsumerGroupState.STABLE:
        return set()
    return {int(member.client_id.rpartition(":")[2]) for member in described.members}


def _all_processed_lately(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT count(DISTINCT partition) FROM results WHERE processed_at > clock_timestamp() - interval '1 s'"
    ).fetchone()
    return row is not None and row[0] == PARTITIONS


def _now(connection: psycopg.Connection) -> Any:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


def _seen_since(connection: psycopg.Connection, moment: Any) -> tuple[float, dict[int, int]]:
    """Seconds to the last claim after `moment`, and the longest pause of each partition since, in ms."""
    row = connection.execute("SELECT max(claimed_at) FROM claims").fetchone()
    assert row is not None
    pauses = connection.execute(
        """
        SELECT partition, max(gap) FROM (
            SELECT partition, processed_at, extract(epoch FROM
                processed_at - lag(processed_at) OVER (PARTITION BY partition ORDER BY processed_at)) * 1000 AS gap
            FROM results
        ) AS gaps WHERE processed_at > %s GROUP BY partition
        """,
        (moment,),
    )
    return max(0.0, (row[0] - moment).total_seconds()), {p: round(gap) for p, gap in pauses}


def drop(settings: Settings) -> None:
    """Delete the round's topics and results."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for future in admin.delete_topics([settings.prefixed(topic) for topic in TOPICS]).values():
        future.result()
    with connect(settings) as connection:
        connection.execute(f"DROP SCHEMA {schema_name(settings)} CASCADE")  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    machine, rounds = describe(), []
    for _ in range(arguments.rounds):
        for size in SIZES:
            for assignor in ASSIGNORS:
                for change in ("kill", "join"):
                    settings = load_settings().model_copy(update={"namespace": f"bench_{uuid.uuid4().hex[:10]}"})
                    with tempfile.TemporaryDirectory() as logs:
                        rounds.append(measure(settings, assignor, size, change, Path(logs) / "log"))
                    drop(settings)
                    print(rounds[-1], flush=True)
    result = {
        "benchmark": "consumer_groups",
        "machine": machine,
        "partitions": PARTITIONS,
        "records_per_second_and_partition": RATE,
        "session_seconds": SESSION_SECONDS,
        "medians": _medians(rounds),
        "rounds": [asdict(r) for r in rounds],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["medians"], indent=2))


def _medians(rounds: list[Rebalance]) -> list[dict[str, Any]]:
    """By kind of round. A pause is the longest of the round's partitions; None where there are none."""
    kinds = dict.fromkeys((r.members, r.change, r.assignor) for r in rounds)

    def median(of: list[Rebalance], figure: Callable[[Rebalance], float | None]) -> float | None:
        known = [value for r in of if (value := figure(r)) is not None]
        return statistics.median(known) if known else None

    found = []
    for members, change, assignor in kinds:
        same = [r for r in rounds if (r.members, r.change, r.assignor) == (members, change, assignor)]
        found.append(
            {
                "members": members,
                "change": change,
                "assignor": assignor,
                "idle_before": median(same, lambda r: r.idle_before),
                "moved": median(same, lambda r: r.moved),
                "interrupted": median(same, lambda r: r.interrupted),
                "settled_seconds": median(same, lambda r: r.settled_seconds),
                "pause_of_moved_ms": median(same, lambda r: max(r.pause_of_moved_ms, default=None)),
                "pause_of_others_ms": median(same, lambda r: max(r.pause_of_others_ms, default=None)),
            }
        )
    return found


if __name__ == "__main__":
    main()
