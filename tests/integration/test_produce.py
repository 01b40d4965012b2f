"""`lakehouse produce` and what it calls, on a real broker."""

import gzip
import json
import os
import subprocess
import time
import uuid
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from lakehouse.contracts.validation import Invalid, Reason, Valid, validate
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.kafka.feed import LISTED_REFUSALS
from lakehouse.produce import send_csv, send_day
from lakehouse.sample import demo_sample
from lakehouse.settings import ROOT, Settings
from tests.conftest import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def tenant(stack: Stack) -> Settings:
    return stack.ensure("kafka", "postgres").model_copy(update={"namespace": f"p{uuid.uuid4().hex[:10]}"})


@pytest.fixture
def day(seed: int) -> ShopDay:
    return ShopDay(date(2026, 3, 2), clicks=2_000, purchases=50, seed=seed, broken=0.02)


def verdicts(settings: Settings) -> list[Valid | Invalid]:
    topics = ("shop.clicks", "shop.purchases")
    return [validate(r.topic, r.key, r.value, r.arrival_ms) for t in topics for r in read_partitions(settings, t)]


def produce(settings: Settings, *arguments: str | Path, piped: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bin" / "lakehouse", "produce", *arguments],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace, "COLUMNS": "300"},
        input=piped,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_day_sent_twice_is_the_same_events(tenant: Settings, day: ShopDay) -> None:
    for _ in range(2):
        send_day(tenant, day)
    events = Counter(
        (v.fields["user_id"], v.fields["event_id"], v.fields["event_time"])
        for v in verdicts(tenant)
        if isinstance(v, Valid)
    )
    assert len(events) == 2_050
    assert min(events.values()) == 2


def test_invalid_records_are_refused_with_their_reasons_and_the_rest_goes_on(tenant: Settings, day: ShopDay) -> None:
    fed = send_day(tenant, day)
    assert set(fed.refused) == {str(reason) for reason in Reason}
    assert len(fed.refusals) == LISTED_REFUSALS < fed.refused.total()
    sent = verdicts(tenant)
    assert len(sent) == fed.sent.total() >= 2_050
    assert not [v for v in sent if isinstance(v, Invalid)]


def test_unsafe_sends_them(tenant: Settings, day: ShopDay) -> None:
    refused = send_day(tenant, day).refused
    before = Counter(v.reason for v in verdicts(tenant) if isinstance(v, Invalid))
    fed = send_day(tenant, day, unsafe=True)
    assert not before
    assert not fed.refused
    assert Counter(str(v.reason) for v in verdicts(tenant) if isinstance(v, Invalid)) == refused


def test_rate_is_kept(tenant: Settings, seed: int) -> None:
    began = time.monotonic()
    fed = send_day(tenant, ShopDay(date(2026, 3, 2), clicks=400, purchases=0, seed=seed, duplicates=0), rate=200)
    assert fed.sent.total() == 400
    # The last twentieth of a second is sent without waiting for its end.
    assert time.monotonic() - began >= 2 - 0.05


def test_the_sample_is_valid_and_in_time_order(tenant: Settings) -> None:
    fed = send_csv(tenant, *demo_sample(tenant))
    assert (fed.sent.total(), fed.refused) == (31_106, Counter())
    latest: dict[int, str] = {}
    for record in read_partitions(tenant, "shop.clicks"):
        at = json.loads(record.value or b"")["event_time"]
        assert at >= latest.get(record.partition, "")
        latest[record.partition] = at
    assert len(latest) == 6


def test_command_reads_a_pipe_as_the_gzip_file_that_it_could_be(tenant: Settings, tmp_path: Path) -> None:
    content = 'Customer, ID\tat\tquery\tclicked\nana\t01.03.2026 10:00 CET\t27" screen\t1\n'
    path = tmp_path / "views.tsv.gz"
    path.write_bytes(gzip.compress(content.encode()))
    options = ("--map", 'user_id="Customer, ID",event_time=at,page=query,action=clicked', "--set", "region=de")
    options += ("--delimiter", "tab", "--quoting", "none", "--values", "action:0=impression,1=click")
    options += ("--time-format", "%d.%m.%Y %H:%M %Z", "--tz", "Europe/Berlin")
    for source in (path, "-"):
        done = produce(tenant, "--csv", source, *options, piped=content)
        assert (done.returncode, done.stderr) == (0, "")
        assert "shop.clicks: 1 records" in done.stdout
    first, again = (json.loads(r.value or b"") for r in read_partitions(tenant, "shop.clicks"))
    assert first == again
    assert (first["action"], first["page"]) == ("click", '27" screen')
    assert first["event_time"] == "2026-03-01T09:00:00Z"


def test_command_names_refused_rows_by_line_and_fails(tenant: Settings, tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("who,at,url,what\nana,2026-03-02T10:00:00Z,/,click\nbob,2026-03-02T10:00:01Z,/,jump\n")
    options = ("--map", "user_id=who,event_time=at,page=url,action=what", "--set", "region=de")
    done = produce(tenant, "--csv", path, *options)
    assert done.returncode == 1
    assert f"{path}, line 3: shop.clicks, key bob: out_of_range (action)" in done.stdout
    assert sum(end_offsets(tenant, "shop.clicks").values()) == 1


def test_command_names_line_and_column_of_a_bad_value_and_sends_nothing(tenant: Settings, tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text("who,at\nana,2026-03-02T10:00:00Z\nbob,yesterday\n")
    options = ("--map", "user_id=who,event_time=at", "--set", "page=/", "--set", "action=click", "--set", "region=de")
    done = produce(tenant, "--csv", path, *options)
    assert done.returncode == 1
    assert f"{path}, line 3, column 'at': 'yesterday' is not a time" in done.stderr
    assert "Traceback" not in done.stderr
    assert sum(end_offsets(tenant, "shop.clicks").values()) == 0


def test_command_generates_a_day_with_its_catalogue(tenant: Settings, seed: int) -> None:
    sizes = ("--clicks", "1500", "--purchases", "20", "--transactions", "300", "--duplicates", "0")
    done = produce(tenant, "--generator", *sizes, "--seed", str(seed))
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(end_offsets(tenant, "shop.products").values()) > 10_000
    assert len({v.fields["event_id"] for v in verdicts(tenant) if isinstance(v, Valid)}) == 1_520
    assert 300 <= sum(end_offsets(tenant, "shop.transactions").values()) <= 320


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Usage"),
        (("--generator", "--late", "0.9"), "late must be a share"),
        (("--generator", "--duration", "5"), "--duration needs --rate"),
        (("--csv", __file__, "--map", "visitor=x"), "no field 'visitor'"),
        (("--csv", __file__, "--map", "visitor"), "FIELD="),
    ],
)
def test_command_explains_wrong_usage(tenant: Settings, arguments: tuple[str, ...], said: str) -> None:
    done = produce(tenant, *arguments)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
