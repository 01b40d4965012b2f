"""Times as files have them: formats, names of zones, and clocks that are put forward and back."""

import pytest

from lakehouse.contracts.times import format_time
from lakehouse.csv_events import Ambiguous, CsvMapping, DecimalMark, MappingError, Nonexistent
from lakehouse.csv_events.times import TimeError, Times

NAMED = "%Y-%m-%d %H:%M:%S %Z"
SUMMER = "2026-07-01 10:00:00"


def mapping(written: str = "iso", tz: str = "UTC", **options: object) -> CsvMapping:
    columns = {"user_id": "who", "event_time": "at", "page": "url"}
    given = {"columns": columns, "constants": {"action": "click", "region": "de"}, "time_format": written, "tz": tz}
    return CsvMapping("shop.clicks", **given | options)  # type: ignore[arg-type]


def read(text: str, written: str = "iso", tz: str = "UTC", **options: object) -> str:
    return format_time(Times(mapping(written, tz, **options)).read(text))


@pytest.mark.parametrize(
    ("written", "text", "tz", "expected"),
    [
        ("iso", "2026-07-01T12:00:00", "Europe/Berlin", "2026-07-01T10:00:00Z"),
        ("iso", "2026-07-01T12:00:00+05:30", "Europe/Berlin", "2026-07-01T06:30:00Z"),
        ("iso", "2026-07-01 12:00:00.123999", "UTC", "2026-07-01T12:00:00.123Z"),
        ("epoch", "1700000000.25", "UTC", "2023-11-14T22:13:20.250Z"),
        ("epoch", "-0.0005", "UTC", "1969-12-31T23:59:59.999Z"),
        ("epoch_ms", "1700000000250", "Europe/Berlin", "2023-11-14T22:13:20.250Z"),
        ("%d.%m.%Y %H:%M", "01.07.2026 00:30", "Europe/Berlin", "2026-06-30T22:30:00Z"),
        ("%Y-%m-%d %I:%M %p", "2026-07-01 01:30 PM", "UTC", "2026-07-01T13:30:00Z"),
        ("%Y-%m-%d %H:%M %z", "2026-07-01 12:00 +0200", "UTC", "2026-07-01T10:00:00Z"),
    ],
)
def test_formats(written: str, text: str, tz: str, expected: str) -> None:
    assert read(text, written, tz) == expected


def test_epoch_seconds_have_the_decimal_mark_of_the_file() -> None:
    assert read("1700000000,25", "epoch", decimal=DecimalMark.COMMA) == "2023-11-14T22:13:20.250Z"


@pytest.mark.parametrize("name", ["UTC", "GMT", "Z", "utc"])
def test_names_of_utc_are_read_whatever_the_zone(name: str) -> None:
    assert read(f"{SUMMER} {name}", NAMED, "Europe/Berlin") == "2026-07-01T10:00:00Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SUMMER} CEST", "2026-07-01T08:00:00Z"),
        ("2026-01-01 10:00:00 CET", "2026-01-01T09:00:00Z"),
        ("2025-10-26 02:30:00 CEST", "2025-10-26T00:30:00Z"),
        ("2025-10-26 02:30:00 CET", "2025-10-26T01:30:00Z"),
    ],
)
def test_a_name_of_the_zone_tells_summer_from_winter(text: str, expected: str) -> None:
    assert read(text, NAMED, "Europe/Berlin") == expected


@pytest.mark.parametrize(("name", "tz"), [("CEST", "UTC"), ("IST", "Europe/Berlin"), ("CET", "Europe/Berlin")])
def test_another_name_is_refused_and_not_passed_over(name: str, tz: str) -> None:
    with pytest.raises(TimeError, match=f"names the zone '{name}'.*--tz where it is {name}.*%z"):
        read(f"{SUMMER} {name}", NAMED, tz)


def test_one_name_of_both_times_does_not_tell_them_apart() -> None:
    with pytest.raises(TimeError, match="was twice in Europe/Moscow"):
        read("2014-10-26 01:30:00 MSK", NAMED, "Europe/Moscow")


def test_a_percent_sign_before_z_is_no_name() -> None:
    assert read("2026-07-01 %Z", "%Y-%m-%d %%Z", "Europe/Berlin") == "2026-06-30T22:00:00Z"


def test_an_offset_where_a_name_belongs_is_told_from_it() -> None:
    with pytest.raises(TimeError, match=r"not a time.*those are %z"):
        read(f"{SUMMER} +02:00", NAMED)


@pytest.mark.parametrize(
    ("text", "tz", "twice"),
    [
        ("2025-10-26T02:00:00", "Europe/Berlin", "2025-10-26T00:00:00Z and 2025-10-26T01:00:00Z"),
        ("2025-10-26T02:59:59.999", "Europe/Berlin", "2025-10-26T00:59:59Z and 2025-10-26T01:59:59Z"),
        ("2025-10-26T01:30:00", "Europe/London", "2025-10-26T00:30:00Z and 2025-10-26T01:30:00Z"),
        ("2026-04-05T01:45:00", "Australia/Lord_Howe", "2026-04-04T14:45:00Z and 2026-04-04T15:15:00Z"),
    ],
)
def test_a_time_that_was_twice_is_refused_unless_told_which(text: str, tz: str, twice: str) -> None:
    with pytest.raises(TimeError, match=f"'{text}' was twice in {tz}.*: {twice}; say --ambiguous earlier or later"):
        read(text, tz=tz)
    earlier, later = twice.split(" and ")
    fraction = text[19:]
    assert read(text, tz=tz, ambiguous=Ambiguous.EARLIER) == earlier.replace("Z", f"{fraction}Z")
    assert read(text, tz=tz, ambiguous=Ambiguous.LATER) == later.replace("Z", f"{fraction}Z")


@pytest.mark.parametrize(
    ("text", "tz", "shown", "expected"),
    [
        ("2026-03-29T02:00:00", "Europe/Berlin", "03:00:00", "2026-03-29T01:00:00Z"),
        ("2026-03-29T02:59:59", "Europe/Berlin", "03:59:59", "2026-03-29T01:59:59Z"),
        ("2026-03-29T01:30:00", "Europe/London", "02:30:00", "2026-03-29T01:30:00Z"),
        ("2025-09-07", "America/Santiago", "01:00:00", "2025-09-07T04:00:00Z"),
    ],
)
def test_a_time_that_never_was_is_refused_unless_moved(text: str, tz: str, shown: str, expected: str) -> None:
    with pytest.raises(
        TimeError, match=rf"'{text}' never was in {tz}.*--nonexistent forward for {shown} \({expected}\)"
    ):
        read(text, tz=tz)
    assert read(text, tz=tz, nonexistent=Nonexistent.FORWARD) == expected


@pytest.mark.parametrize("text", ["2025-10-26T01:59:59.999", "2025-10-26T03:00:00", "2026-03-29T01:59:59.999"])
def test_times_beside_a_change_need_no_word(text: str) -> None:
    assert read(text, tz="Europe/Berlin")


def test_days_are_added_to_the_moment_and_not_to_the_clock() -> None:
    assert read("2026-03-28T02:30:00", tz="Europe/Berlin", shift_days=1) == "2026-03-29T01:30:00Z"
    assert read("19970101", "%Y%m%d", shift_days=10_000) == "2024-05-19T00:00:00Z"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("iso", "yesterday"),
        ("iso", ""),
        ("iso", "9999-12-31T23:59:59-05:00"),
        ("iso", "0001-01-01T00:00:00+05:00"),
        ("epoch", "1e999999"),
        ("epoch_ms", "1e99"),
        ("epoch", "NaN"),
        ("epoch", "Infinity"),
        ("epoch", "1,700,000,000"),
        ("%G-%V", "2026-10"),
    ],
)
def test_what_is_no_time_is_an_error(written: str, text: str) -> None:
    with pytest.raises(TimeError, match="is not a time in the format"):
        read(text, written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("ISO", "none of iso, epoch, epoch_ms"),
        ("dd.mm.yyyy", "no year, like %d.%m.%Y"),
        ("%d.%m. %H:%M", "no year"),
        ("%Y-%m-%d %Q", "%Q, which nobody knows"),
        ("%Y-%m-%d %", "which nobody knows"),
        ("%Y-%m-%d %H:%M %p", "%p .* without the other"),
        ("%Y-%m-%d %I:%M", "%I .* without the other"),
        ("%Y-%W", "a week without"),
    ],
)
def test_formats_of_which_a_part_would_be_passed_over_are_refused(written: str, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        mapping(written)
