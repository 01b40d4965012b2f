"""A generated day: its bytes follow from its parameters, and it holds what a pipeline must get right."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from lakehouse.contracts.validation import Invalid, Reason, Valid, validate
from lakehouse.generator.broken import BROKEN, BROKEN_TRANSACTIONS, Record
from lakehouse.generator.render import records
from lakehouse.generator.scenes import MINUTE, alert_is_withdrawn, alert_opens_again, alert_stays_open
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.consumer import Record as KafkaRecord
from lakehouse.kafka.partitioner import partition_of
from lakehouse.semantics.lateness import Lateness
from lakehouse.semantics.log import read_events
from lakehouse.semantics.metrics.sessions.reference import merges
from lakehouse.semantics.reference import METRICS

NOW_MS = int(time.time() * 1000)


def flat(day: ShopDay) -> Iterator[Record]:
    return (record for chunk in records(day) for record in chunk)


def digest(day: ShopDay) -> str:
    content = hashlib.sha256()
    for record in flat(day):
        content.update(repr(record).encode())
    return content.hexdigest()


@pytest.fixture(scope="module")
def day(seed: int) -> ShopDay:
    return ShopDay(date(2026, 3, 2), clicks=20_000, purchases=200, transactions=2_000, seed=seed)


@pytest.fixture(scope="module")
def sent(day: ShopDay) -> list[Record]:
    return list(flat(replace(day, broken=0.005)))


@pytest.fixture(scope="module")
def valid(sent: list[Record]) -> list[tuple[str, dict[str, object]]]:
    verdicts = ((topic, validate(topic, key, value, NOW_MS)) for topic, key, value in sent)
    return [(topic, verdict.fields) for topic, verdict in verdicts if isinstance(verdict, Valid)]


def test_same_parameters_give_the_same_bytes_in_another_process(day: ShopDay) -> None:
    program = f"import tests.unit.generator.test_shop_day as t, datetime; print(t.digest(t.{day!r}))"
    environment = os.environ | {"PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    other = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(day)


def test_another_seed_gives_other_events(day: ShopDay) -> None:
    other = replace(day, seed=day.seed + 1)
    assert not {value for _, _, value in flat(day)} & {value for _, _, value in flat(other)}


def test_another_day_gives_other_events(day: ShopDay) -> None:
    other = replace(day, day=date(2026, 3, 3))
    assert not {value for _, _, value in flat(day)} & {value for _, _, value in flat(other)}


def test_counts_are_of_distinct_events(valid: list[tuple[str, dict[str, object]]]) -> None:
    identities = {(topic, f["user_id"], f["event_id"], f["event_time"]) for topic, f in valid}
    assert Counter(topic for topic, *_ in identities) == {
        "shop.clicks": 20_000,
        "shop.purchases": 200,
        "shop.transactions": 2_000,
    }
    assert len(valid) > 22_200, "no duplicates"


def test_without_a_share_of_broken_records_all_are_valid(day: ShopDay) -> None:
    verdicts = [validate(topic, key, value, NOW_MS) for topic, key, value in flat(day)]
    assert not [v for v in verdicts if isinstance(v, Invalid)]


def test_broken_records_have_every_reason(sent: list[Record]) -> None:
    reasons = {v.reason for r in sent if isinstance(v := validate(*r, NOW_MS), Invalid)}
    assert reasons == set(Reason)


@pytest.mark.parametrize(("number", "reason"), [(n, reason) for n, (reason, _) in enumerate(BROKEN)])
def test_each_damage_has_the_reason_it_says(number: int, reason: str) -> None:
    click = {
        "event_id": "c1",
        "event_time": "2026-03-02T00:00:00Z",
        "user_id": "u1",
        "product_id": "p1",
        "action": "click",
        "page": "/",
        "region": "de",
    }
    purchase = {
        "event_id": "p1",
        "event_time": "2026-03-02T00:00:00Z",
        "user_id": "u1",
        "product_id": "p1",
        "quantity": 1,
        "amount_cents": 100,
        "currency": "EUR",
        "region": "de",
    }
    verdict = validate(*BROKEN[number][1](click, purchase), NOW_MS)
    assert isinstance(verdict, Invalid)
    assert verdict.reason == reason


@pytest.mark.parametrize(("number", "reason"), [(n, reason) for n, (reason, _) in enumerate(BROKEN_TRANSACTIONS)])
def test_each_damage_of_a_transaction_has_the_reason_it_says(number: int, reason: str) -> None:
    transaction = {
        "event_id": "t1",
        "event_time": "2026-03-02T00:00:00Z",
        "user_id": "u1",
        "amount_cents": 100,
        "merchant": "m",
        "country": "DE",
        "priority": "high",
    }
    verdict = validate(*BROKEN_TRANSACTIONS[number][1](transaction), NOW_MS)
    assert isinstance(verdict, Invalid)
    assert verdict.reason == reason


def test_transactions_leave_the_rest_of_the_day_as_it_is(day: ShopDay) -> None:
    rest = [record for record in flat(day) if record[0] != "shop.transactions"]
    assert rest == list(flat(replace(day, transactions=0)))


def test_products_sell_by_a_zipf_law(valid: list[tuple[str, dict[str, object]]]) -> None:
    views = Counter(str(f["product_id"]) for topic, f in valid if topic == "shop.clicks" and f["product_id"])
    first, tenth_to_thirtieth = views["p00000"], [views[f"p{n:05d}"] for n in range(9, 30)]
    expected = sum(1 / (n + 1) for n in range(9, 30))
    assert sum(tenth_to_thirtieth) / first == pytest.approx(expected, rel=0.25)
    assert len(views) > 2_000, "the tail sells too"


def test_lateness_has_all_three_classes(valid: list[tuple[str, dict[str, object]]]) -> None:
    highest: dict[int, int] = {}
    classes: Counter[str] = Counter()
    for topic, fields in valid:
        if topic != "shop.clicks":
            continue
        partition = partition_of(str(fields["user_id"]).encode())
        at = int(str(fields["event_time"]))
        watermark = highest.get(partition, at) - MINUTE
        behind = "on time" if at >= watermark else "late" if at >= watermark - 5 * MINUTE else "very late"
        classes[behind] += 1
        highest[partition] = max(at, highest.get(partition, at))
    assert 0.005 < classes["late"] / classes.total() < 0.04
    assert 0.001 < classes["very late"] / classes.total() < 0.02


def test_users_pause_between_sessions(valid: list[tuple[str, dict[str, object]]]) -> None:
    times: dict[object, list[int]] = defaultdict(list)
    for topic, fields in valid:
        if topic == "shop.clicks":
            times[fields["user_id"]].append(int(str(fields["event_time"])))
    sessions = sum(
        1 + sum(b - a >= 30 * MINUTE for a, b in pairwise(ordered)) for ordered in map(sorted, times.values())
    )
    assert sessions > 1.5 * len(times)
    assert max(map(len, times.values())) > 1_000, "no bot"


def test_purchases_follow_clicks_within_5_minutes(valid: list[tuple[str, dict[str, object]]]) -> None:
    clicked: dict[tuple[object, object], list[int]] = defaultdict(list)
    for topic, f in valid:
        if topic == "shop.clicks" and f["action"] == "click":
            clicked[f["user_id"], f["product_id"]].append(int(str(f["event_time"])))
    bought = {
        (f["event_id"], f["user_id"], f["product_id"], int(str(f["event_time"]))) for t, f in valid if "quantity" in f
    }
    attributed = sum(any(t - 5 * MINUTE <= c <= t for c in clicked[u, p]) for _, u, p, t in bought)
    assert 0.6 < attributed / len(bought) < 0.95


def test_alerts_open_stay_open_are_withdrawn_and_open_again(valid: list[tuple[str, dict[str, object]]]) -> None:
    counts: dict[tuple[object, int], list[int]] = defaultdict(lambda: [0, 0])
    states: dict[tuple[object, int], list[bool]] = defaultdict(lambda: [False])
    seen = set()
    for topic, f in valid:
        identity = (f["event_id"], f["event_time"])
        if topic != "shop.clicks" or f["product_id"] is None or identity in seen:
            continue
        seen.add(identity)
        window = (f["product_id"], int(str(f["event_time"])) // (5 * MINUTE))
        counts[window][f["action"] == "click"] += 1
        impressions, clicks = counts[window]
        anomalous = impressions >= 20 and 2 * clicks > impressions
        if anomalous != states[window][-1]:
            states[window].append(anomalous)
    histories = {tuple(history) for history in states.values()}
    assert {(False, True), (False, True, False), (False, True, False, True)} <= histories


@pytest.mark.parametrize("clicks", [1_000, 20_000])
def test_even_a_small_day_holds_what_a_pipeline_must_get_right(day: ShopDay, clicks: int) -> None:
    offsets: Counter[tuple[str, int]] = Counter()
    log = []
    small = replace(day, clicks=clicks, purchases=max(10, clicks // 100), transactions=0, broken=0.001)
    for topic, key, value in flat(small):
        partition = partition_of(key) if key else 0
        log.append(KafkaRecord(topic, partition, offsets[topic, partition], NOW_MS, key, value))
        offsets[topic, partition] += 1
    read = read_events(log)
    account, events = read.accounts["shop.clicks"], read.events
    assert (account.used, account.read) == (clicks, account.used + account.duplicate + account.dead.total())
    assert min(account.duplicate, *account.lateness.values()) > 0
    assert set(account.lateness) == set(Lateness)

    assert merges(events.clicks) >= 2
    assert any(row["anomalous"] for row in METRICS["silver.sessions"].compute(events))
    assert any(row["part"] > 0 for row in METRICS["silver.session_parts"].compute(events))
    clicked = {row["click_event_id"] is not None for row in METRICS["silver.purchase_clicks"].compute(events)}
    assert clicked == {True, False}


@pytest.mark.parametrize("scene", [alert_stays_open, alert_is_withdrawn, alert_opens_again])
def test_a_burst_fits_into_one_window(scene) -> None:  # type: ignore[no-untyped-def]
    assert {step.at // (5 * MINUTE) for step in scene(1)} == {0}


@pytest.mark.parametrize(("clicks", "purchases"), [(0, 0), (1, 0), (0, 3), (7, 5), (999, 9), (1_000, 10)])
def test_small_days_have_the_counts_asked_for(day: ShopDay, clicks: int, purchases: int) -> None:
    small = replace(day, clicks=clicks, purchases=purchases, duplicates=0)
    topics = Counter(topic for topic, _ in {(r[0], json.loads(r[2] or b"")["event_id"]) for r in flat(small)})
    assert (topics["shop.clicks"], topics["shop.purchases"]) == (clicks, purchases)


def test_all_events_of_a_short_span_lie_within_it(day: ShopDay) -> None:
    short = replace(day, span_hours=0.1, clicks=2_000, purchases=100)
    times = {validate(*record, NOW_MS).fields["event_time"] for record in flat(short)}  # type: ignore[union-attr]
    assert max(times) - min(times) < 0.1 * 60 * MINUTE  # type: ignore[type-var,operator]


@pytest.mark.parametrize("wrong", [{"late": 0.6}, {"broken": -0.1}, {"clicks": -1}, {"span_hours": 25}])
def test_parameters_out_of_range_are_named(day: ShopDay, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(day, **wrong)  # type: ignore[arg-type]
