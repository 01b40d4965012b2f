"""Explanations on real Kafka and Delta: every row leads back to its records, and what is wrong with it is said."""

import json
import re
import shlex
import uuid
from collections.abc import Mapping
from datetime import date

import polars as pl
import pytest

from lakehouse.compare.reference import Reference
from lakehouse.contracts.tables import table
from lakehouse.delta import Once, append, create_table, open_table, replace_days, scan
from lakehouse.delta.notes import Asked, Batch, Publication, Said
from lakehouse.delta.restore import restore
from lakehouse.delta.write import to_arrow
from lakehouse.drained import kafka_ends
from lakehouse.explain import EXPLAINED, BadKeyError, Explanation, NoSuchRowError, NotExplainedError, Status, explain
from lakehouse.explain.explanation import counts
from lakehouse.explain.keys import as_typed
from lakehouse.kafka.consumer import read_partitions
from lakehouse.kafka.sender import Sender
from lakehouse.semantics import Events
from lakehouse.semantics.lateness import Lateness
from lakehouse.settings import Settings
from tests.command import lakehouse
from tests.conftest import Stack
from tests.lake import decided, frame
from tests.reference_lake import changed, encoded, fill_tables
from tests.strategies import click, impression, product, profile, purchase, transaction

pytestmark = pytest.mark.stack

HOSTILE = "-u:100: [red]'x' \\"
"""A user who would be an option, an emoji, a style and a quote, were it not for what prints and reads them."""
STREAM = [
    product("mug", "08:00"),
    product("mug", "09:00", "garden"),
    product("mug", "09:00", "kitchen"),  # supersedes the one before
    profile("ana", "07:00"),
    *(impression("ana", f"10:{minute:02}", event_id=f"i{minute}") for minute in range(4)),
    click("ana", "10:04", event_id="c"),
    click("ana", "10:04", event_id="c"),
    click("bo", "11:00", "pan", event_id="first"),
    click("bo", "10:57", "pan", event_id="late"),
    click("bo", "10:50", "pan", event_id="very late"),
    impression("dana", "11:00", None),
    *(impression("flo", "15:01", "cup", event_id=f"f{i}") for i in range(20)),
    *(click("flo", "15:02", "cup", event_id=f"g{i}") for i in range(12)),
    purchase("bo", "11:02", "pan", region="süd"),
    purchase("bo", "11:02", "pan", region="süd", event_id="twice"),
    purchase("bo", "11:02", "pan", region="süd", event_id="twice"),
    purchase("ana", "23:58"),
    purchase("ana", "24:03"),
    *(transaction("gus", f"16:{minute:02}") for minute in range(12)),
    purchase(HOSTILE, "12:00", "sku:100:42"),
    *(impression("eve", f"{hour}:{minute:02}") for hour in range(17, 25) for minute in (0, 20, 40)),
]
DAY = date(2024, 3, 1)
CUP_WINDOW = ("gold.product_metrics_5m", "cup", "2024-03-01T15:00")


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    own = stack.ensure("kafka", "minio").model_copy(update={"namespace": "explain"})
    decisions = list(decided(fill_tables(own, STREAM).log.events))
    append(
        own,
        "silver.fraud_online",
        to_arrow("silver.fraud_online", frame("silver.fraud_online", decisions)),
        Once.new("test"),
    )
    return own


@pytest.fixture
def tenant(stack: Stack) -> Settings:
    """Without tables."""
    return stack.ensure("minio").model_copy(update={"namespace": f"e{uuid.uuid4().hex[:10]}"})


@pytest.fixture(scope="module")
def raw(settings: Settings) -> dict[tuple[str, int, int], bytes | None]:
    """The values in Kafka, by position."""
    topics = ("shop.clicks", "shop.purchases", "shop.transactions", "shop.products", "shop.profiles")
    return {(r.topic, r.partition, r.offset): r.value for t in topics for r in read_partitions(settings, t)}


@pytest.mark.parametrize("name", EXPLAINED)
def test_rows_add_up_to_the_raw_values_in_kafka(
    settings: Settings, raw: Mapping[tuple[str, int, int], bytes | None], name: str
) -> None:
    rows = scan(settings, name).select(table(name).key).sort(table(name).key).collect()
    assert rows.height
    for key in (rows.row(n, named=True) for n in {0, rows.height - 1}):
        found = explain(settings, name, shlex.split(as_typed(key)))
        assert found.flaws == []
        assert found.key == key
        for record in found.records.to_dicts():
            assert record["value"] == raw[record["topic"], record["partition"], record["offset"]]


def test_a_duplicate_is_left_out_and_names_what_counts(settings: Settings) -> None:
    found = explain(settings, "gold.region_revenue_daily", ["süd", "2024-03-01"])
    (duplicate,) = found.of(Status.DUPLICATE).to_dicts()
    (first,) = found.of(Status.COUNTED).filter(event_id="twice").to_dicts()
    assert duplicate["instead"] == {"partition": first["partition"], "offset": first["offset"]}
    assert duplicate["event_id"] == "twice"
    assert found.found[0] == 2


def test_late_records_count_and_are_named(settings: Settings) -> None:
    found = explain(settings, "marts.product_daily", ["2024-03-01", "pan"])
    lateness = dict(found.of(Status.COUNTED).select("event_id", "lateness").rows())
    assert (lateness["late"], lateness["very late"]) == (Lateness.LATE, Lateness.VERY_LATE)
    assert found.adds_up


def test_a_version_supersedes_another(settings: Settings) -> None:
    found = explain(settings, "silver.products", ["mug", "2024-03-01T09:00"])
    assert counts(found.records, "status") == {Status.COUNTED: 1, Status.SUPERSEDED: 1}


def test_a_decision_shows_the_transactions_that_it_looked_at(settings: Settings) -> None:
    row = scan(settings, "gold.fraud_decisions").sort("event_time").collect().row(-1, named=True)
    found = explain(settings, "gold.fraud_decisions", ["gus", row["event_id"], row["event_time"].isoformat()])
    assert counts(found.records, "status") == {Status.COUNTED: 1, Status.LOOKED_AT: 11}
    assert row["transactions_1h"] == 12


def test_an_attribution_is_made_of_purchase_and_click(settings: Settings) -> None:
    row = scan(settings, "silver.purchase_clicks").filter(user_id="bo").collect().row(0, named=True)
    found = explain(settings, "silver.purchase_clicks", ["bo", row["event_id"], row["event_time"].isoformat()])
    assert set(found.of(Status.COUNTED)["topic"]) == {"shop.clicks", "shop.purchases"}
    assert found.of(Status.LOOKED_AT)["event_id"].to_list() == ["late"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["cup"], "1 values instead of 2"),
        (["cup", "noon"], "window_start 'noon' is no timestamp"),
        (["cup", "2024-03-01T15:00", "x"], "PRODUCT_ID WINDOW_START"),
    ],
)
def test_a_key_that_is_none_is_refused(settings: Settings, values: list[str], says: str) -> None:
    with pytest.raises(BadKeyError, match=says):
        explain(settings, "gold.product_metrics_5m", values)


def test_a_missing_row_names_its_neighbours(settings: Settings) -> None:
    with pytest.raises(NoSuchRowError, match=r"no row cup 2024-03-01T15:02; it has: cup 2024-03-01T15:00"):
        explain(settings, "gold.product_metrics_5m", ["cup", "2024-03-01T15:02"])
    with pytest.raises(NoSuchRowError, match="no row nobody"):
        explain(settings, "gold.user_totals", ["nobody"])


def test_tables_that_are_not_made_of_events_are_refused(settings: Settings) -> None:
    with pytest.raises(NotExplainedError, match="Kafka's records themselves"):
        explain(settings, "bronze.clicks", ["shop.clicks", "0", "0"])
    with pytest.raises(NotExplainedError, match="not made of events"):
        explain(settings, "ops.ledger", ["run"])


def test_an_altered_value_does_not_add_up(settings: Settings) -> None:
    name, *key = CUP_WINDOW
    chosen = pl.col("event_id") == "f3"
    with changed(
        settings,
        "bronze.clicks",
        lambda rows: rows.with_columns(value=pl.when(chosen).then(pl.lit(b"{}")).otherwise("value")),
    ):
        found = explain(settings, name, key)
        assert lakehouse(settings, "explain", *CUP_WINDOW).returncode == 1
    (record,) = found.records.filter(event_id="f3").to_dicts()
    assert not found.adds_up
    assert (
        f"not the hash that the tables say: shop.clicks[{record['partition']}] offset {record['offset']}"
        in found.flaws[0]
    )
    assert explain(settings, name, key).adds_up


def test_a_record_that_bronze_lacks_is_named(settings: Settings) -> None:
    name, *key = CUP_WINDOW
    with changed(settings, "bronze.clicks", lambda rows: rows.filter(pl.col("event_id") != "g5")):
        flaws = explain(settings, name, key).flaws
    assert flaws[0].startswith("bronze has no shop.clicks[")


def test_a_wrong_sum_does_not_add_up(settings: Settings) -> None:
    name, *key = CUP_WINDOW
    with changed(settings, name, lambda rows: rows.with_columns(pl.col("events") + 1)):
        assert explain(settings, name, key).flaws == ["events is 33 in the row and 32 by its records"]


def test_the_command(settings: Settings) -> None:
    shown = lakehouse(settings, "explain", *CUP_WINDOW, "--limit", "3")
    assert shown.returncode == 0, shown.stderr
    assert "Made of 32 records (32 on_time)" in shown.stdout
    assert "29 more" in shown.stdout
    assert '"event_id": "f0"' in shown.stdout
    assert "It adds up: 32 events" in shown.stdout
    told = json.loads(lakehouse(settings, "explain", *CUP_WINDOW, "--json").stdout)
    assert (told["adds_up"], len(told["records"]), told["statuses"]) == (True, 32, {"counted": 32})
    assert told["fingerprint"]["row"] == told["fingerprint"]["records"] == told["row"]["fingerprint"]
    failed = lakehouse(settings, "explain", "gold.user_totals", "nobody")
    assert failed.returncode == 2
    assert "gold.user_totals has no row nobody" in failed.stderr
    assert "known tables" in lakehouse(settings, "explain", "gold.nothing", "x").stderr


def test_a_key_that_is_printed_can_be_pasted(settings: Settings) -> None:
    name = "gold.user_totals_daily"
    with pytest.raises(NoSuchRowError) as refused:
        explain(settings, name, [HOSTILE, "2024-03-02"])
    pasted = re.search("it has: (.*?)\\. A row is there", str(refused.value))
    assert pasted, refused.value
    shown = lakehouse(settings, "explain", name, *shlex.split(pasted[1]))
    assert shown.returncode == 0, shown.stderr
    assert f"user_id  {HOSTILE}\n" in shown.stdout
    assert '"product_id": "sku:100:42"' in shown.stdout


# What changed a row

NAME = "gold.user_totals_daily"


def write(settings: Settings, users: Mapping[str, int], note: Said | None, by: str = "stream batch 1") -> int:
    """Replaces the day by rows that say how many purchases each user has; they are made of nothing."""
    at = pl.lit("2024-03-01T10:00:00").str.to_datetime(time_unit="us", time_zone="UTC")
    rows = pl.DataFrame({"user_id": list(users), "purchases": list(users.values())}).with_columns(
        revenue_cents=0,
        first_purchase=at,
        last_purchase=at,
        events="purchases",
        fingerprint=pl.lit(0),
        changed_by=pl.lit(by),
        event_date=pl.lit(DAY),
    )
    create_table(settings, NAME)
    content = rows.select(table(NAME).column_names).cast(dict(scan(settings, NAME).collect_schema()))
    return replace_days(settings, NAME, [DAY], to_arrow(NAME, content), Once.new("test"), note)


def batch(number: int, version: int = 0) -> Batch:
    return Batch(job="spark_lakehouse", batch_id=number, read_versions={"silver.purchases": version})


def of_ana(settings: Settings) -> Explanation:
    return explain(settings, NAME, ["ana", str(DAY)])


@pytest.mark.parametrize("since", [0, 1, 2, 7, 8, 9])
def test_the_commit_that_changed_a_row_is_found_behind_those_that_did_not(tenant: Settings, since: int) -> None:
    create_table(tenant, "silver.purchases")
    create_table(tenant, "bronze.purchases")
    write(tenant, {"ana": 1}, batch(1))
    version = write(tenant, {"ana": 2}, batch(2))
    for number in range(since):
        write(tenant, {"ana": 2, "bo": number}, batch(10 + number))
    changed = of_ana(tenant).changed
    assert changed is not None
    assert (changed.version, changed.why) == (version, "stream batch 2 of spark_lakehouse")
    assert changed.before is not None
    assert changed.before["purchases"] == 1


def test_a_row_that_was_not_there_before_says_so(tenant: Settings) -> None:
    create_table(tenant, "bronze.purchases")
    write(tenant, {"bo": 1}, batch(1))
    write(tenant, {"bo": 1, "ana": 1}, batch(2))
    changed = of_ana(tenant).changed
    assert changed is not None
    assert (changed.why, changed.before) == ("stream batch 2 of spark_lakehouse", None)


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (Asked(scope="rebuild 2024-03-01 to 2024-03-02"), "rebuild 2024-03-01 to 2024-03-02"),
        (batch(7).correcting("reenriched", [DAY]), "correction (reenriched) in stream batch 7 of spark_lakehouse"),
        (Publication(day=DAY, engine="polars"), f"mart of {DAY} published by polars"),
        (None, "write that says nothing of itself"),
    ],
)
def test_what_changed_a_row_is_said_in_words(tenant: Settings, note: Said | None, why: str) -> None:
    create_table(tenant, "bronze.purchases")
    write(tenant, {"ana": 1}, note)
    changed = of_ana(tenant).changed
    assert changed is not None
    assert changed.why == why


def test_a_restored_row_was_changed_by_the_restore(tenant: Settings) -> None:
    create_table(tenant, "bronze.purchases")
    first = write(tenant, {"ana": 1}, batch(1))
    write(tenant, {"ana": 5}, batch(2))
    restore(tenant, NAME, first, by="kim")
    changed = of_ana(tenant).changed
    assert changed is not None
    assert changed.why == f"version {first} restored by kim"


def test_a_change_that_is_no_longer_kept_is_not_guessed(tenant: Settings) -> None:
    create_table(tenant, "bronze.purchases")
    write(tenant, {"ana": 1}, batch(1))
    write(tenant, {"ana": 2}, batch(2))
    assert of_ana(tenant).changed is not None
    opened = open_table(tenant, NAME)
    assert opened.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    found = of_ana(tenant)
    assert found.changed is None
    assert found.notes == ("what last changed it is no longer in the history, which is kept for 7 days",)


def test_an_older_silver_that_is_no_longer_kept_is_said_and_its_newest_stands_for_it(tenant: Settings) -> None:
    create_table(tenant, "bronze.purchases")
    content = frame("silver.purchases", [purchase("bo", "10:00")._asdict() | NO_VERSION])
    version = append(tenant, "silver.purchases", to_arrow("silver.purchases", content), Once.new("test"))
    replace_days(tenant, "silver.purchases", [DAY], to_arrow("silver.purchases", content), Once.new("test"))
    write(tenant, {"ana": 2}, batch(1, version))
    assert of_ana(tenant).read == {"silver.purchases": version}
    opened = open_table(tenant, "silver.purchases")
    opened.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    found = of_ana(tenant)
    assert found.read == {"silver.purchases": int(open_table(tenant, "silver.purchases").version())}
    assert f"silver.purchases has no version {version}" in found.notes[0]


NO_VERSION = dict.fromkeys(("category", "brand", "price_cents", "product_valid_from")) | {"event_date": DAY}


def test_what_was_decided_at_once_is_explained_before_silver_has_it(tenant: Settings) -> None:
    paid = transaction("gus", "16:00")
    create_table(tenant, "silver.transactions")
    stored = paid._asdict() | {"value": b"", "arrival_date": date(2024, 5, 30)}
    append(
        tenant,
        "bronze.transactions",
        to_arrow("bronze.transactions", frame("bronze.transactions", [stored])),
        Once.new("test"),
    )
    decisions = frame("silver.fraud_online", decided(Events.of([paid])))
    append(tenant, "silver.fraud_online", to_arrow("silver.fraud_online", decisions), Once.new("test"))
    assert explain(tenant, "silver.fraud_online", ["gus", paid.event_id, "2024-03-01T16:00"]).flaws == []


def test_what_came_after_the_row_was_computed_waits(stack: Stack) -> None:
    own = stack.ensure("kafka", "minio").model_copy(update={"namespace": f"e{uuid.uuid4().hex[:10]}"})
    totals = fill_tables(own, [purchase("ana", "10:00", event_id="early")]).frame("gold.user_totals")
    version = int(open_table(own, "silver.purchases").version())
    computed = to_arrow("gold.user_totals", totals.with_columns(changed_by=pl.lit("stream batch 3")))
    append(own, "gold.user_totals", computed.slice(0, 0), Once.new("test"), batch(3, version))
    with Sender(own) as sender:
        sender.send([encoded(purchase("ana", "10:01", event_id="more"))])
    reference = Reference.read(own, kafka_ends(own))
    arrived = pl.concat(reference.stored("bronze.purchases", partition) for partition in reference.partitions)
    for name, rows in (("bronze.purchases", arrived), ("silver.purchases", reference.frame("silver.purchases"))):
        append(own, name, to_arrow(name, rows.filter(event_id="more")), Once.new("test"))
    found = explain(own, "gold.user_totals", ["ana"])
    assert found.flaws == []
    assert found.read == {"silver.purchases": version}
    assert found.of(Status.COUNTED)["event_id"].to_list() == ["early"]
    assert found.of(Status.WAITING)["event_id"].to_list() == ["more"]
