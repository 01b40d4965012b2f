"""CSV files as events, and what is said of files that aren't."""

# mypy: disable-error-code="no-untyped-def"

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse.csv_events import CsvError, CsvMapping, MappingError, read_csv

VISITS = CsvMapping(
    "shop.clicks",
    columns={"user_id": "visitor", "event_time": "at", "page": "url"},
    constants={"action": "click", "region": "de"},
)
VISITS_FILE = "visitor,at,url\nbob,2026-03-02 10:05:00,/b\nana,2026-03-02 10:00:00,/a\n"
ORDERS = CsvMapping(
    "shop.purchases",
    columns={"user_id": "1", "event_time": "2", "quantity": "3", "amount_cents": "4"},
    constants={"product_id": "cd", "currency": "EUR", "region": "us"},
    delimiter="whitespace",
    time_format="%Y%m%d",
    scale={"amount_cents": 100},
    header=False,
)


@pytest.fixture
def write(tmp_path: Path):
    def to_file(content: str | bytes, name: str = "file.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


def events(path: Path, mapping: CsvMapping) -> list[dict[str, Any]]:
    return [json.loads(row.record[2] or b"") for row in read_csv(path, mapping)]


def test_rows_become_events_in_time_order(write) -> None:
    first, second = read_csv(write(VISITS_FILE), VISITS)
    topic, key, value = first.record
    assert (topic, key, first.line) == ("shop.clicks", b"ana", 3)
    assert json.loads(value or b"") == {
        "event_id": json.loads(value or b"")["event_id"],
        "event_time": "2026-03-02T10:00:00Z",
        "user_id": "ana",
        "action": "click",
        "page": "/a",
        "region": "de",
    }
    assert (second.record[1], second.line) == (b"bob", 2)


def test_file_order_is_kept_on_request(write) -> None:
    rows = read_csv(write(VISITS_FILE), replace(VISITS, by_time=False))
    assert [row.record[1] for row in rows] == [b"bob", b"ana"]


def test_event_ids_are_stable_and_follow_the_content(write) -> None:
    plain = [e["event_id"] for e in events(write(VISITS_FILE), VISITS)]
    zipped = [e["event_id"] for e in events(write(gzip.compress(VISITS_FILE.encode()), "f.csv.gz"), VISITS)]
    other = [e["event_id"] for e in events(write(VISITS_FILE + "eve,2026-03-02 10:00:00,/\n", "g.csv"), VISITS)]
    assert plain == zipped
    assert len(set(plain)) == 2
    assert not set(plain) & set(other)


def test_order_does_not_change_event_ids(write) -> None:
    path = write(VISITS_FILE)
    by_user = {e["user_id"]: e["event_id"] for e in events(path, VISITS)}
    assert by_user == {e["user_id"]: e["event_id"] for e in events(path, replace(VISITS, by_time=False))}


def test_mapped_event_id_is_taken(write) -> None:
    mapping = replace(VISITS, columns={**VISITS.columns, "event_id": "url"})
    assert [e["event_id"] for e in events(write(VISITS_FILE), mapping)] == ["/a", "/b"]


def test_whitespace_columns_dates_and_cents(write) -> None:
    (event,) = events(write(" 00001 20190101  2   29.33\n"), ORDERS)
    assert (event["user_id"], event["event_time"]) == ("00001", "2019-01-01T00:00:00Z")
    assert (event["quantity"], event["amount_cents"]) == (2, 2933)


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        ("0.07", 7),
        ("1.1", 110),
        ("4.35", 435),
        ("92233720368547758.07", 2**63 - 1),
    ],
)
def test_cents_are_exact(write, amount: str, cents: int) -> None:
    (event,) = events(write(f"u 20190101 1 {amount}\n"), ORDERS)
    assert event["amount_cents"] == cents


@pytest.mark.parametrize(
    ("written", "text", "tz", "expected"),
    [
        ("iso", "2026-07-01T12:00:00", "Europe/Berlin", "2026-07-01T10:00:00Z"),
        ("iso", "2026-07-01T12:00:00+05:30", "Europe/Berlin", "2026-07-01T06:30:00Z"),
        ("iso", "2026-07-01 12:00:00.123999", "UTC", "2026-07-01T12:00:00.123Z"),
        ("epoch", "1700000000.25", "UTC", "2023-11-14T22:13:20.250Z"),
        ("epoch_ms", "1700000000250", "UTC", "2023-11-14T22:13:20.250Z"),
        ("%d.%m.%Y %H:%M", "01.07.2026 00:30", "Europe/Berlin", "2026-06-30T22:30:00Z"),
    ],
)
def test_time_formats(write, written: str, text: str, tz: str, expected: str) -> None:
    (event,) = events(write(f"visitor,at,url\nana,{text},/\n"), replace(VISITS, time_format=written, tz=tz))
    assert event["event_time"] == expected


def test_times_move_by_days(write) -> None:
    (event,) = events(write("u 19970101 1 1\n"), replace(ORDERS, shift_days=10_000))
    assert event["event_time"] == "2024-05-19T00:00:00Z"


def test_empty_value_is_null_where_null_is_allowed(write) -> None:
    mapping = replace(VISITS, columns={**VISITS.columns, "product_id": "product"})
    (event,) = events(write("visitor,at,url,product\nana,2026-03-02 10:00:00,,\n"), mapping)
    assert (event["product_id"], event["page"]) == (None, "")


def test_quoted_fields_and_byte_order_mark(write) -> None:
    content = '\ufeffvisitor;at;url\n"a;""b""";2026-03-02 10:00:00;"two\nlines"\n'
    (event,) = events(write(content), replace(VISITS, delimiter=";"))
    assert (event["user_id"], event["page"]) == ('a;"b"', "two\nlines")


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("", 1, "empty"),
        ("visitor,at,url\n", 1, "no rows"),
        ("visitor,when,url\nana,2026-03-02,/\n", 1, "column 'at'.*visitor, when, url"),
        ("visitor,at,url\nana,2026-03-02,/\nbob,2026-13-02,/\n", 3, "column 'at'.*'2026-13-02'.*iso"),
        ("visitor,at,url\nana,2026-03-02,/,more\n", 2, "4 columns where the first line has 3"),
        (b"visitor,at,url\nana,2026-03-02,\xff\n", 2, "not UTF-8"),
        ('visitor,at,url\nana,"2026-03-02"x,/\n', 2, "expected"),
        (gzip.compress(VISITS_FILE.encode(), mtime=0)[:-9], 1, "gzip"),
    ],
)
def test_errors_name_file_line_and_column(write, content: str | bytes, line: int, said: str) -> None:
    path = write(content)
    with pytest.raises(CsvError, match=rf"{path}, line {line}\b.*{said}"):
        list(read_csv(path, VISITS))


@pytest.mark.parametrize("amount", ["1.234", "ten", "NaN", "1e400", "92233720368547758.08"])
def test_amounts_that_are_no_cents_are_errors(write, amount: str) -> None:
    with pytest.raises(CsvError, match="line 1, column '4'"):
        list(read_csv(write(f"u 20190101 1 {amount}\n"), ORDERS))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topic": "shop.visits"}, "shop.clicks"),
        ({"columns": {"user": "visitor"}}, "no field 'user'.*user_id"),
        ({"constants": {"region": "de"}}, "needs action.*--set action=VALUE"),
        ({"constants": {**VISITS.constants, "page": "/"}}, "page is both"),
        ({"tz": "Mars/Olympus"}, "Mars/Olympus"),
        ({"delimiter": "||"}, "delimiter"),
    ],
)
def test_incomplete_mappings_say_what_is_missing(change: dict[str, Any], said: str) -> None:
    with pytest.raises(MappingError, match=said):
        replace(VISITS, **change)
