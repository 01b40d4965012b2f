import json
from typing import NamedTuple

import pytest

from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.tables import table
from lakehouse.semantics import EventLog, read_events
from lakehouse.semantics.events import EVENT_TYPES
from lakehouse.semantics.lateness import Lateness, PartitionWatermark
from tests.strategies import at


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    arrival_ms: int
    key: bytes | None
    value: bytes | None


def record(offset: int, user: str = "ana", minute: int = 0, event_id: str = "e1", partition: int = 0) -> Record:
    value = {
        "event_id": event_id,
        "event_time": f"2024-03-01T10:{minute:02}:00Z",
        "user_id": user,
        "product_id": None,
        "action": "click",
        "page": "/",
        "region": "north",
    }
    return Record("shop.clicks", partition, offset, at("34:00"), user.encode(), json.dumps(value).encode())


def offsets(log: EventLog) -> list[tuple[int, int]]:
    return [(c.partition, c.offset) for c in log.events.clicks]


def test_the_lowest_offset_of_a_duplicate_wins_however_it_is_read() -> None:
    assert offsets(read_events([record(5), record(2), record(9)])) == [(0, 2)]


def test_of_a_foreign_producers_duplicate_the_lowest_partition_wins() -> None:
    assert offsets(read_events([record(2, partition=1), record(5)])) == [(0, 5)]


def test_the_same_id_at_another_time_is_another_event() -> None:
    assert len(offsets(read_events([record(0), record(1, minute=1)]))) == 2


def test_a_valid_record_becomes_an_event_with_its_position_and_hash() -> None:
    r = record(3, partition=4)
    (event,) = read_events([r]).events.clicks
    assert event.event_time == at("10:00")
    assert (event.user_id, event.product_id, event.action) == ("ana", None, "click")
    assert (event.topic, event.partition, event.offset, event.arrival) == ("shop.clicks", 4, 3, at("34:00"))
    assert event.record_hash == record_hash("shop.clicks", 4, 3, r.value)


def test_an_invalid_record_is_a_dead_letter_with_its_reason() -> None:
    log = read_events([record(0), record(1)._replace(value=b"{"), record(2)._replace(key=b"bo"), record(3)])
    assert [(d.offset, d.reason, d.field) for d in log.dead_letters] == [
        (1, "not_json", None),
        (2, "key_mismatch", None),
    ]
    account = log.accounts["shop.clicks"]
    assert (account.read, account.used, account.duplicate, account.dead_letters) == (4, 1, 1, 2)
    assert account.balanced


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ("10:59", Lateness.ON_TIME),  # at the watermark
        ("10:58:59.999", Lateness.LATE),
        ("10:57", Lateness.LATE),  # 3 min behind
        ("10:54", Lateness.LATE),  # 5 min below the watermark
        ("10:53:59.999", Lateness.VERY_LATE),
        ("10:50", Lateness.VERY_LATE),  # 10 min behind
        ("11:30", Lateness.ON_TIME),
    ],
)
def test_lateness_at_the_bounds(behind: str, expected: Lateness) -> None:
    watermark = PartitionWatermark()
    assert watermark.observe(at("11:00")) is Lateness.ON_TIME
    assert watermark.observe(at(behind)) is expected


def test_duplicates_move_the_watermark_and_dead_letters_do_not() -> None:
    stream = [record(0, minute=0), record(1)._replace(value=b""), record(2, minute=30, event_id="e2")]
    stream += [record(3, minute=30, event_id="e2"), record(4, minute=27, event_id="e3")]
    account = read_events(stream).accounts["shop.clicks"]
    assert (account.on_time, account.late, account.very_late) == (2, 1, 0)


def test_each_partition_has_its_own_watermark() -> None:
    account = read_events([record(0, minute=30), record(0, minute=0, partition=1, user="bo")]).accounts["shop.clicks"]
    assert account.on_time == 2


@pytest.mark.parametrize("topic", EVENT_TYPES)
def test_events_have_the_fields_of_their_contract_in_its_order(topic: str) -> None:
    silver = table(f"silver.{EVENTS[topic].table}").column_names
    fields = EVENT_TYPES[topic]._fields
    assert fields[: len(EVENTS[topic].fields)] == tuple(f.name for f in EVENTS[topic].fields)
    assert set(fields) <= set(silver)
