"""Kafka is judged once: what was kept of it is what reading it again would give."""

import uuid
from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from lakehouse.compare import segments
from lakehouse.compare.reference import Reference
from lakehouse.compare.segments import cache_directory, rules_digest
from lakehouse.contracts import validation
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import Record, read_partitions
from lakehouse.kafka.sender import Sender
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.semantics import EventLog, read_events
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.transactions import Transactions

pytestmark = pytest.mark.stack


@pytest.fixture
def tenant(stack: Stack) -> Settings:
    own = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": f"s{uuid.uuid4().hex[:10]}"})
    create_topics(own)
    return own


def kept(settings: Settings) -> dict[Path, int]:
    """The files and when they were written."""
    return {path: path.stat().st_mtime_ns for path in cache_directory(settings).rglob("*.arrow")}


def read(settings: Settings) -> EventLog:
    return Reference.read(settings, kafka_ends(settings)).log


def click(event_id: str) -> tuple[str, bytes, bytes]:
    time, rest = "2024-03-01T10:00:00Z", '"action":"click","page":"/","region":"north"'
    value = f'{{"event_id":"{event_id}","event_time":"{time}","user_id":"ana",{rest}}}'
    return "shop.clicks", b"ana", value.encode()


def send(settings: Settings, *event_ids: str) -> None:
    with Sender(settings) as sender:
        sender.send([click(event_id) for event_id in event_ids])


def ids(log: EventLog) -> list[str]:
    return [c.event_id for c in log.events.clicks]


@pytest.mark.parametrize("few", [0, 10**9], ids=["by processes of its own", "in this process"])
def test_it_is_what_the_plain_reading_gives(
    tenant: Settings, seed: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FEW_RECORDS", few)
    send_day(tenant, ShopDay(date(2026, 3, 2), clicks=3_000, purchases=100, seed=seed, broken=0.02), unsafe=True)
    plain = read_events(chain.from_iterable(read_partitions(tenant, topic) for topic in kafka_ends(tenant)))
    found = read(tenant)
    assert found == plain
    assert len(found.dead_letters) > 0
    assert found.accounts["shop.clicks"].used == 3_000


def test_a_later_read_judges_only_what_is_new(tenant: Settings) -> None:
    send(tenant, "a", "b")
    assert ids(read(tenant)) == ["a", "b"]
    before = kept(tenant)
    send(tenant, "b", "c")
    assert ids(read(tenant)) == ["a", "b", "c"]
    after = kept(tenant)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1


def test_without_anything_new_nothing_is_written(tenant: Settings) -> None:
    send(tenant, "a")
    read(tenant)
    before = kept(tenant)
    assert ids(read(tenant)) == ["a"]
    assert kept(tenant) == before


def test_a_read_up_to_an_earlier_end_sees_no_later_record(tenant: Settings) -> None:
    send(tenant, "a")
    ends = kafka_ends(tenant)
    send(tenant, "b")
    assert ids(read(tenant)) == ["a", "b"]
    assert ids(Reference.read(tenant, ends).log) == ["a"]
    assert ids(read(tenant)) == ["a", "b"]


def test_what_a_transaction_holds_back_is_read_once_it_is_committed(tenant: Settings) -> None:
    send(tenant, "a")
    transactions = Transactions(tenant, "shop.clicks")
    with transactions.open(click("b")[2], key=b"ana"):
        send(tenant, "c")
        assert ids(read(tenant)) == ["a"]
    assert ids(read(tenant)) == ["a", "b", "c"]
    transactions.abort(click("d")[2], key=b"ana")
    assert ids(read(tenant)) == ["a", "b", "c"]


def test_what_was_kept_of_a_topic_is_void_when_it_is_created_anew(tenant: Settings) -> None:
    send(tenant, "a", "b")
    read(tenant)
    admin = AdminClient({"bootstrap.servers": tenant.kafka_bootstrap})
    name = tenant.prefixed("shop.clicks")
    admin.delete_topics([name], operation_timeout=20)[name].result(20)
    create_topics(tenant)
    send(tenant, "x", "y")
    assert ids(read(tenant)) == ["x", "y"]
    assert len(kept(tenant)) == 1


def test_what_was_kept_under_other_rules_is_judged_anew_without_kafka(
    tenant: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka may have forgotten it: what came since is all that is read."""
    send(tenant, "a", "bbb")
    with Sender(tenant) as sender:
        sender.send([("shop.clicks", b"ana", None), ("shop.clicks", b"ana", b"{")])
    held = read(tenant).accounts["shop.clicks"].read
    send(tenant, "c")
    current = cache_directory(tenant) / rules_digest()
    other = current.rename(current.with_name("0" * 16))
    starts: list[int] = []

    def reading(settings: Settings, topic: str, first: dict[int, int], end: dict[int, int]) -> Iterator[Record]:
        starts.extend(first.values())
        return read_partitions(settings, topic, first, end)

    monkeypatch.setattr(segments, "read_partitions", reading)
    monkeypatch.setattr(validation, "MAX_ID_BYTES", 2)
    found = read(tenant)
    assert (starts, ids(found)) == ([held], [])
    assert found.accounts["shop.clicks"].dead == {"null_value": 1, "not_json": 1, "out_of_range": 3}
    assert not other.exists()
