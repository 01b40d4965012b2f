"""The comparison on real Kafka, Delta and Redis: it holds when all is right, and sees one row broken anywhere."""

import json
from datetime import date

import polars as pl
import pytest

from lakehouse.compare import COMPARED, SAID, Comparison, UnknownTargetError, compare
from lakehouse.compare.live import REDIS_PRODUCTS, REDIS_SESSIONS
from lakehouse.compare.reference import Reference
from lakehouse.contracts.tables import BRONZE, TABLES
from lakehouse.delta import scan
from lakehouse.drained import kafka_ends
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.kafka.topics import ALERTS
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValues
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.reference_lake import alert, changed, encoded, fill, fill_said, live
from tests.strategies import click, impression, product, profile, purchase, transaction

pytestmark = pytest.mark.stack

STREAM = [
    product("mug", "08:00"),
    product("pan", "08:00"),
    profile("ana", "07:00"),
    *(impression("ana", "10:00", event_id=f"i{i}") for i in range(20)),
    *(click("bo", "10:01", event_id=f"c{i}") for i in range(11)),
    click("bo", "10:01", event_id="c3"),
    click("ana", "11:00", "pan"),
    purchase("ana", "11:02", "pan"),
    purchase("bo", "12:00", region="süd"),
    *(transaction("ana", "10:00", event_id=f"t{i:02d}") for i in range(11)),
]
BROKEN: list[Outgoing] = [
    ("shop.clicks", b"ana", b"{"),
    ("shop.purchases", b"ana", None),
    ("shop.products", None, b"\xff"),
]


_ALERT = {"window_start": 0, "window_end": 1, "state": "opened", "dedup_key": "b09"}
CTR = _ALERT | {"rule": "ctr_anomaly", "product_id": "mug", "impressions": 20, "clicks": 11, "events": 31}
FRAUD = _ALERT | {"rule": "fraud_flagged", "user_id": "ana", "event_id": "t", "event_time": 0, "amount_cents": 1}
FRAUD |= {"transactions_10m": 6, "transactions_1h": 6}
NO_ALERTS: list[Outgoing] = [
    (ALERTS, b"b09", value)
    for value in (
        None,
        b"[" * 50_000,
        json.dumps(CTR | {"window_start": "2024-03-01T10:00:00Z"}).encode(),
        json.dumps(FRAUD | {"user_id": ["ana"]}).encode(),
        json.dumps(FRAUD | {"event_time": "2024-03-01T10:00:00Z"}).encode(),
    )
]
"""Anybody may write to the topic."""


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    """A namespace in which everything is as the reference has it."""
    own = stack.ensure("kafka", "minio", "valkey").model_copy(update={"namespace": "compared"})
    reference = fill(own, STREAM, BROKEN)
    with Sender(own) as sender:
        sender.send([alert(a, state) for a in reference.anomalies() for state in ("opened", "withdrawn", "opened")])
        sender.send(NO_ALERTS)
    fill_said(own, reference)
    return own


def failing(result: Comparison) -> dict[str, tuple[int, int, int]]:
    return {t.table: (t.missing, t.unexpected, t.different) for t in result.tables if not t.equal}


def test_everything_equals_the_reference(settings: Settings) -> None:
    result = compare(settings)
    assert failing(result) == {}
    assert result.equal
    assert [(said.rule, said.agreed, said.alerted) for said in result.said] == [
        ("fraud_flagged", 6, 6),
        ("fraud_blocked", 1, 1),
    ]
    assert [t.table for t in result.tables] == list(COMPARED)
    layers = ("bronze", "silver", "gold", "marts")
    assert set(COMPARED) >= {name for name, t in TABLES.items() if t.layer in layers and not t.variant_of}


def test_the_accounting_of_what_was_sent(settings: Settings) -> None:
    accounting = compare(settings, ["gold.user_totals"]).accounting
    clicks = accounting.topics["shop.clicks"]
    assert (clicks.read, clicks.used, clicks.duplicate, dict(clicks.dead)) == (34, 32, 1, {"not_json": 1})
    assert accounting.topics["shop.purchases"].dead == {"null_value": 1}
    assert (accounting.purchases, accounting.attributed_purchases) == (2, 1)
    assert accounting.enriched_share == 1
    assert accounting.balanced


def test_a_run_is_appended_to_ops_comparisons(settings: Settings) -> None:
    result = compare(settings, ["gold.user_totals", REDIS_SESSIONS])
    rows = scan(settings, "ops.comparisons").filter(pl.col("run_id") == result.run_id).sort("table").collect()
    assert rows.select("table", "rows_compared", "missing", "unexpected", "different").rows() == [
        ("gold.user_totals", 2, 0, 0, 0),
        (REDIS_SESSIONS, 2, 0, 0, 0),
    ]


@pytest.mark.parametrize("name", [*BRONZE, *SAID, "silver.clicks", "gold.user_totals", "marts.region_daily"])
def test_a_dropped_row_is_missing(settings: Settings, name: str) -> None:
    with changed(settings, name, lambda rows: rows[1:]):
        assert failing(compare(settings, [name])) == {name: (1, 0, 0)}


@pytest.mark.parametrize("name", [*BRONZE, *SAID, "silver.clicks", "gold.user_totals"])
def test_a_doubled_row_is_unexpected(settings: Settings, name: str) -> None:
    with changed(settings, name, lambda rows: pl.concat([rows, rows[:1]])):
        assert failing(compare(settings, [name])) == {name: (0, 1, 0)}


def test_a_row_from_a_partition_that_kafka_does_not_have_is_unexpected(settings: Settings) -> None:
    stranger = pl.lit(17).cast(pl.Int32).alias("partition")
    with changed(settings, "bronze.clicks", lambda rows: pl.concat([rows, rows[:1].with_columns(stranger)])):
        assert failing(compare(settings, ["bronze.clicks"])) == {"bronze.clicks": (0, 1, 0)}


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("bronze.clicks", "value", pl.lit(b"{}")),
        ("bronze.clicks", "record_hash", pl.col("record_hash") + 1),
        ("bronze.dead_letters", "reason", pl.lit("missing")),
        ("bronze.dead_letters", "key", pl.lit(b"")),
        ("silver.fraud_online", "flagged", ~pl.col("flagged")),
        ("silver.alerts_sent", "value", pl.lit(b"{}")),
        ("silver.purchases", "category", pl.lit(None, pl.String)),
        ("gold.user_totals", "fingerprint", pl.col("fingerprint") + 1),
        ("gold.fraud_decisions", "blocked", ~pl.col("blocked")),
    ],
)
def test_an_altered_value_is_different(settings: Settings, name: str, column: str, value: pl.Expr) -> None:
    first = pl.int_range(pl.len()) == 0
    altered = pl.when(first).then(value).otherwise(pl.col(column)).alias(column)

    def alter(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(altered.cast(rows.schema[column]))

    with changed(settings, name, alter):
        assert failing(compare(settings, [name])) == {name: (0, 0, 1)}


def test_a_mart_must_hold_the_days_that_were_built_no_more_and_no_less(settings: Settings) -> None:
    name, built = "marts.region_daily", date(2024, 3, 1)
    assert compare(settings, [name], mart_days=[built]).equal
    assert not compare(settings, [name], mart_days=[date(2024, 3, 2)]).equal
    with changed(settings, name, lambda rows: rows.clear()):
        assert failing(compare(settings, [name], mart_days=[built])) == {name: (2, 0, 0)}


def test_a_table_without_rows_fails(settings: Settings) -> None:
    with changed(settings, "silver.profiles", lambda rows: rows.clear()):
        (result,) = compare(settings, ["silver.profiles"]).tables
        assert (result.rows_compared, result.missing, result.equal) == (0, 1, False)


@pytest.mark.parametrize("name", [PRODUCT_METRICS, CURRENT_SESSIONS])
@pytest.mark.parametrize("field", ["fingerprint", "clicks", "events"])
def test_an_altered_value_in_redis_is_different(settings: Settings, name: str, field: str) -> None:
    reference = Reference.read(settings, kafka_ends(settings))
    rows = reference.current_sessions() if name == CURRENT_SESSIONS else reference.rows("gold.product_metrics_5m")
    row = next(iter(rows))
    values = LiveValues(settings)
    values.replace([live(name, row)._replace(row=live(name, row | {field: row[field] + 1}).row)], {})
    try:
        assert failing(compare(settings, [f"redis.{name}"])) == {f"redis.{name}": (0, 0, 1)}
    finally:
        values.replace([live(name, row)], {})


def test_a_window_in_redis_that_has_no_events_is_unexpected(settings: Settings) -> None:
    row = next(iter(Reference.read(settings, kafka_ends(settings)).rows("gold.product_metrics_5m")))
    values = LiveValues(settings)
    values.replace([live(PRODUCT_METRICS, row | {"product_id": "ghost"})], {})
    try:
        assert failing(compare(settings, [REDIS_PRODUCTS])) == {REDIS_PRODUCTS: (0, 1, 0)}
    finally:
        emptied = live(PRODUCT_METRICS, row | {"product_id": "ghost", "events": 0})
        values.replace([emptied._replace(seq=row["events"] + 1)], {})


def test_an_alert_that_was_withdrawn_and_is_due_is_missing(settings: Settings) -> None:
    (anomaly,) = Reference.read(settings, kafka_ends(settings)).anomalies()
    with Sender(settings) as sender:
        sender.send([alert(anomaly, "withdrawn")])
    try:
        assert failing(compare(settings, [ALERTS])) == {ALERTS: (1, 0, 0)}
    finally:
        with Sender(settings) as sender:
            sender.send([alert(anomaly, "opened")])


def test_records_after_the_given_ends_are_not_the_references(settings: Settings) -> None:
    ends = kafka_ends(settings)
    with Sender(settings) as sender:
        sender.send([encoded(profile("cem", "07:00"))])
    with changed(settings, "silver.profiles", lambda rows: rows):
        assert compare(settings, ["silver.profiles"], ends).equal
        assert failing(compare(settings, ["silver.profiles"])) == {"silver.profiles": (1, 0, 0)}


def test_what_has_no_reference_cannot_be_compared(settings: Settings) -> None:
    with pytest.raises(UnknownTargetError, match="nothing to compare"):
        compare(settings, ["ops.comparisons"])
