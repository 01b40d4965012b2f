"""Wire times, against the standard library where it reaches."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.times import format_time, parse_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(), st.integers(-18 * 60, 18 * 60))
def test_parse_agrees_with_datetime_and_floors_microseconds(local: datetime, offset: int) -> None:
    sign = "-" if offset < 0 else "+"
    text = f"{local.isoformat(timespec='microseconds')}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    moment = local.replace(tzinfo=UTC) - EPOCH - timedelta(minutes=offset)
    assert parse_time(text) == moment // timedelta(milliseconds=1)


def test_every_day_of_four_centuries_follows_the_day_before() -> None:
    day = datetime(1970, 1, 1, tzinfo=UTC)
    for number in range(146_097):
        assert parse_time(f"{day:%Y-%m-%dT00:00:00Z}") == number * 86_400_000
        day += timedelta(days=1)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_format_is_read_back(epoch_ms: int) -> None:
    assert parse_time(format_time(epoch_ms)) == epoch_ms


def test_format_is_the_shortest_form() -> None:
    assert format_time(1_782_900_000_000) == "2026-07-01T10:00:00Z"
    assert format_time(1_782_900_000_250) == "2026-07-01T10:00:00.250Z"
