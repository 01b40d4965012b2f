"""CSV files as events, and what is said of files that aren't."""

# mypy: disable-error-code="no-untyped-def"

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lakehouse.csv_events import CsvError, CsvMapping, DecimalMark, MappingError, read_csv

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


def test_empty_value_is_null_where_null_is_allowed(write) -> None:
    mapping = replace(VISITS, columns={**VISITS.columns, "product_id": "product"})
    (event,) = events(write("visitor,at,url,product\nana,2026-03-02 10:00:00,,\n"), mapping)
    assert (event["product_id"], event["page"]) == (None, "")


def test_values_are_taken_for_what_they_mean(write) -> None:
    clicked = replace(
        VISITS,
        columns={**VISITS.columns, "action": "clicked", "product_id": "item"},
        constants={"region": "de"},
        values={"action": {"0": "impression", "1": "click"}, "product_id": {"-": "", "7": "p7"}},
    )
    rows = "bob,2026-03-02,/,0,-\nana,2026-03-02,/,1,7\n"
    first, second = events(write(f"visitor,at,url,clicked,item\n{rows}"), clicked)
    assert (first["action"], first["product_id"]) == ("impression", None)
    assert (second["action"], second["product_id"]) == ("click", "p7")
    with pytest.raises(CsvError, match=r"line 2, column 'clicked': '2' is none of .*: '0', '1'"):
        events(write("visitor,at,url,clicked,item\nbob,2026-03-02,/,2,-\n"), clicked)


def test_a_column_is_named_by_its_place_where_names_do_not_tell(write) -> None:
    content = "who,at,who\nana,2026-03-02,bob\n"
    mapping = replace(VISITS, columns={"user_id": "#3", "event_time": "at", "page": "#1"})
    (event,) = events(write(content), mapping)
    assert (event["user_id"], event["page"]) == ("bob", "ana")
    with pytest.raises(CsvError, match="'#4': no such column"):
        events(write(content), replace(mapping, columns={**mapping.columns, "page": "#4"}))


def test_a_name_like_a_place_is_a_name(write) -> None:
    content = "who,at,#1\nana,2026-03-02,/x\n"
    mapping = replace(VISITS, columns={"user_id": "who", "event_time": "at", "page": "#1"})
    assert events(write(content), mapping)[0]["page"] == "/x"


def test_a_column_that_nobody_maps_may_occur_twice(write) -> None:
    (event,) = events(write("visitor,at,url,x,x\nana,2026-03-02,/,1,2\n"), VISITS)
    assert event["page"] == "/"


@pytest.mark.parametrize(("amount", "cents"), [("12,50", 1250), ("3", 300), ("0,07", 7)])
def test_decimals_after_a_comma(write, amount: str, cents: int) -> None:
    (event,) = events(write(f"u 20190101 1 {amount}\n"), replace(ORDERS, decimal=DecimalMark.COMMA))
    assert event["amount_cents"] == cents


@pytest.mark.parametrize(
    ("mark", "amount"), [("point", "12,50"), ("point", "1,250"), ("comma", "1.250"), ("comma", "1.250,00")]
)
def test_grouped_digits_and_the_other_mark_are_errors(write, mark: str, amount: str) -> None:
    with pytest.raises(CsvError, match=f"line 1, column '4': '{amount}' .* decimal {mark}"):
        events(write(f"u 20190101 1 {amount}\n"), replace(ORDERS, decimal=DecimalMark(mark)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_by_any_convention(write, end: str) -> None:
    content = VISITS_FILE.replace("\n", end) + f" {end}{end}"
    assert [row.line for row in read_csv(write(content), replace(VISITS, by_time=False))] == [2, 3]
    assert [e["page"] for e in events(write(content), VISITS)] == ["/a", "/b"]


def test_a_row_over_several_lines_is_named_by_its_first(write) -> None:
    content = 'visitor,at,url\nana,2026-03-02,"two\r\nlines"\n'
    ((line, record),) = read_csv(write(content), VISITS)
    assert line == 2
    assert json.loads(record[2] or b"")["page"] == "two\r\nlines"


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
        (b"visitor,at,url\nana,2026-03-02,/\nbob,2026-03-02,\xff\n", 3, "not UTF-8.*byte 16 of the line.*iconv"),
        ("visitor,at,url,url\nana,2026-03-02,/,/\n", 1, "column 'url': so are called #3 and #4.*--map page=#4"),
        ("visitor,at, url\nana,2026-03-02,/\n", 1, "column 'url': no such column; the columns are visitor, at, ' url'"),
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
        ({"tz": "Europe"}, "'Europe'"),
        ({"delimiter": "||"}, "delimiter"),
        ({"delimiter": '"'}, "delimiter"),
        ({"scale": {"page": 100}}, "page is no number to --scale"),
        ({"values": {"action": {"0": "click"}}}, "action has --values and no column"),
        ({"values": {"actoin": {"0": "click"}}}, "no field 'actoin'"),
    ],
)
def test_incomplete_mappings_say_what_is_missing(change: dict[str, Any], said: str) -> None:
    with pytest.raises(MappingError, match=said):
        replace(VISITS, **change)
