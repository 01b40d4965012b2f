"""What today's rule says of rows that lie in bronze and among the dead letters."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import EVENTS, MAX_CENTS
from lakehouse.contracts.tables import table
from lakehouse.contracts.validation import Valid, validate
from lakehouse.rejudge.judged import Misjudged, Reading, in_bronze, in_dead_letters
from lakehouse.rejudge.moves import bronze_rows, dead_letter_rows
from lakehouse.rejudge.trail import event_of

TOPIC = "shop.purchases"
ARRIVAL = datetime(2026, 3, 1, 12, tzinfo=UTC)
PURCHASE = {
    "event_id": "e 🎁",
    "event_time": "2026-03-01T11:59:59.999Z",
    "user_id": "ana",
    "product_id": "mug",
    "quantity": 1,
    "amount_cents": MAX_CENTS,
    "currency": "EUR",
    "region": "süd\x00",
}
TOO_MUCH = Reading("out_of_range", "amount_cents")


def value(**changed: object) -> bytes:
    return json.dumps(PURCHASE | changed).encode()


def of_bronze(raw: bytes) -> list[Misjudged]:
    """Of a row that an earlier rule let in, whatever its amount."""
    payload = json.loads(raw)
    row = payload | {"event_time": datetime.fromisoformat(payload["event_time"]), "topic": TOPIC, "partition": 3}
    row |= {"offset": 7, "arrival": ARRIVAL, "value": raw, "record_hash": 1, "arrival_date": ARRIVAL.date()}
    return list(in_bronze(TOPIC, pl.DataFrame([row], schema=polars_schema(table("bronze.purchases")))))


def of_dead_letters(raw: bytes | None, key: bytes, *said: str | None) -> list[Misjudged]:
    row = {"topic": TOPIC, "partition": 3, "offset": 7, "arrival": ARRIVAL, "key": key, "value": raw, "record_hash": 1}
    row |= {"reason": said[0], "field": said[1], "arrival_date": ARRIVAL.date()}
    return list(in_dead_letters(TOPIC, pl.DataFrame([row], schema=polars_schema(table("bronze.dead_letters")))))


def test_what_is_judged_as_it_lies_stays() -> None:
    assert of_bronze(value()) == []
    assert of_dead_letters(value(amount_cents=-1), b"ana", "out_of_range", "amount_cents") == []
    assert of_dead_letters(None, b"ana", "null_value", None) == []


def test_a_row_of_bronze_beyond_the_bound_is_to_be_a_dead_letter() -> None:
    (found,) = of_bronze(value(amount_cents=MAX_CENTS + 1))
    assert (found.before, found.now, found.key) == (Reading(), TOO_MUCH, b"ana")
    assert (found.was_valid, found.becomes_valid) == (True, False)
    (letter,) = dead_letter_rows([found]).to_dicts()
    assert (letter["key"], letter["reason"], letter["field"]) == (b"ana", "out_of_range", "amount_cents")


def test_a_dead_letter_that_is_valid_is_to_be_a_row_of_bronze() -> None:
    (found,) = of_dead_letters(value(), b"ana", "out_of_range", "user_id")
    verdict = validate(TOPIC, b"ana", found.value, 1_772_366_400_000)
    assert isinstance(verdict, Valid)
    (row,) = bronze_rows(TOPIC, [found]).to_dicts()
    assert row["event_time"] == datetime(2026, 3, 1, 11, 59, 59, 999_000, tzinfo=UTC)
    assert {name: row[name] for name in PURCHASE if name != "event_time"} == {
        name: known for name, known in PURCHASE.items() if name != "event_time"
    }


def test_a_dead_letter_may_be_one_for_another_reason() -> None:
    (found,) = of_dead_letters(value(amount_cents=MAX_CENTS + 1), b"bo", "key_mismatch", None)
    assert (str(found.before), str(found.now)) == ("key_mismatch", "out_of_range (amount_cents)")
    assert (found.was_valid, found.becomes_valid, found.event) == (False, False, None)


@pytest.mark.parametrize("time", ["2000-01-01T00:00:00.001Z", "2026-03-01T11:59:59.999Z"])
def test_what_is_written_down_of_an_event_is_read_back(time: str) -> None:
    (found,) = of_bronze(value(amount_cents=9 * 10**18, event_time=time))
    place = {"topic": TOPIC, "partition": 3, "offset": 7, "arrival": ARRIVAL, "record_hash": 1}
    event = event_of(EVENTS[TOPIC], place | {"event": found.event})
    assert event["event_time"] == datetime.fromisoformat(time)
    assert event["event_date"] == datetime.fromisoformat(time).date()
    assert (event["amount_cents"], event["region"], event["event_id"]) == (9 * 10**18, "süd\x00", "e 🎁")
