"""Random gold rows against the reference, on real Delta tables: right ones pass, each kind of wrong one is found."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from lakehouse.alerts import OPENED, PARITY_DIFFERS, QUALITY_FAILED, WITHDRAWN, TableAlert, parse_alert
from lakehouse.delta import Once, replace_days, scan
from lakehouse.delta.write import to_arrow
from lakehouse.kafka.consumer import read_partitions
from lakehouse.kafka.topics import ALERTS
from lakehouse.parity.check import SAMPLED, Checked, check_row
from lakehouse.parity.results import differences, objective, objectives
from lakehouse.parity.sample import case_path, check_sample, still_different
from lakehouse.settings import Settings
from quality import QualityFailedError, run_quality
from tests.command import lakehouse
from tests.conftest import Stack
from tests.reference_lake import fill_tables
from tests.strategies import click, impression, purchase, transaction

pytestmark = pytest.mark.stack

DAY = date(2024, 3, 1)
WINDOWS = "gold.product_metrics_5m"
STREAM = [
    *(impression("ana", f"10:{minute:02}", event_id=f"i{minute}") for minute in range(4)),
    click("ana", "10:03", event_id="c"),
    click("ana", "10:03", event_id="c"),
    purchase("ana", "10:04"),
    purchase("ana", "12:00", "cup"),  # later in the same partition
    purchase("bo", "11:02", "pan", region="süd"),
    purchase("bo", "11:02", "pan", region="süd", event_id="twice"),
    purchase("bo", "11:02", "pan", region="süd", event_id="twice"),
    *(transaction("gus", f"16:{minute:02}") for minute in range(12)),
]


@pytest.fixture(scope="module")
def lake(stack: Stack) -> Settings:
    settings = stack.ensure("kafka", "minio").model_copy(update={"namespace": "parity"})
    fill_tables(settings, STREAM)
    return settings


@pytest.fixture
def tenant(stack: Stack, tmp_path: Path) -> Settings:
    """Tables of one's own to damage, with a home of their own for cases."""
    settings = stack.ensure("kafka", "minio")
    own = settings.model_copy(update={"namespace": f"p{uuid.uuid4().hex[:10]}", "home": tmp_path})
    fill_tables(own, STREAM)
    return own


def damage(settings: Settings, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    rows = change(scan(settings, name).collect())
    replace_days(settings, name, [DAY], to_arrow(name, rows), Once.new("damage"))


@pytest.mark.parametrize("name", SAMPLED)
def test_what_the_reference_made_is_equal(lake: Settings, name: str, seed: int) -> None:
    checked = check_sample(lake, 5, seed, [name])
    assert [found for found in checked if not found.equal] == []
    assert len(checked) == min(5, scan(lake, name).collect().height) > 0
    assert all(found.records for found in checked)


def test_the_objective_counts_what_was_checked_in_a_day(lake: Settings, seed: int) -> None:
    before = objective(lake, datetime.now(UTC))
    checked = check_sample(lake, 10, seed)
    after = objective(lake, datetime.now(UTC))
    assert after.checked == before.checked + len(checked)
    assert str(after) == f"0 of {after.checked} differ in 24 h"


def test_an_altered_row_is_found_and_its_smallest_input_is_kept(tenant: Settings, seed: int) -> None:
    damage(tenant, WINDOWS, lambda rows: rows.with_columns(clicks=pl.col("clicks") + 1))
    checked = check_sample(tenant, 50, seed, [WINDOWS])
    (window,) = (found for found in checked if found.key["product_id"] == "mug")
    assert window.columns == ("clicks",)
    case = json.loads(case_path(tenant, window).read_text())
    assert case["columns"] == ["clicks"]
    assert (case["stored"]["clicks"], case["expected"]["clicks"]) == (2, 1)
    # Six events, and not the duplicate.
    assert len(case["records"]) == window.expected["events"] == len(window.records) - 1  # type: ignore[index]
    assert objective(tenant, datetime.now(UTC)).differed == len(checked)


def test_what_differed_alerts_and_fails_the_suite_until_it_is_right(tenant: Settings, seed: int) -> None:
    damage(tenant, WINDOWS, lambda rows: rows.with_columns(clicks=pl.col("clicks") + 1))
    wrong = check_sample(tenant, 3, seed, [WINDOWS])
    with pytest.raises(QualityFailedError, match="no row that parity found different in 24 h still differs"):
        run_quality(tenant, [WINDOWS], DAY)
    assert run_quality(tenant, [WINDOWS], date(2024, 3, 2)).success

    damage(tenant, WINDOWS, lambda rows: rows.with_columns(clicks=pl.col("clicks") - 1))
    assert run_quality(tenant, [WINDOWS], DAY).success
    assert still_different(tenant, WINDOWS) == []
    found = objectives(tenant, datetime.now(UTC))[WINDOWS]
    assert (found.differed, found.differ) == (len(wrong), len(wrong)), "as parity itself saw it last"
    check_sample(tenant, 1, seed, [WINDOWS])
    assert objectives(tenant, datetime.now(UTC))[WINDOWS].differ == 0
    assert told(tenant) == [
        (PARITY_DIFFERS, OPENED),
        (QUALITY_FAILED, OPENED),
        (QUALITY_FAILED, WITHDRAWN),
        (PARITY_DIFFERS, WITHDRAWN),
    ]


def test_an_event_that_silver_lost_is_not_taken_for_one_that_waits(tenant: Settings) -> None:
    damage(tenant, "silver.purchases", lambda rows: rows.filter(pl.col("product_id") != "mug"))
    damage(tenant, WINDOWS, _without_purchase)
    found = mug(tenant)
    assert set(found.columns) == {"conversions", "revenue_cents", "events", "fingerprint"}


def test_a_row_without_any_event_is_found_until_it_is_gone(tenant: Settings, seed: int) -> None:
    damage(tenant, WINDOWS, lambda rows: pl.concat([rows, rows[:1].with_columns(product_id=pl.lit("a ghost"))]))
    row = scan(tenant, WINDOWS).filter(product_id="a ghost").collect().row(0, named=True)
    found = check_row(tenant, WINDOWS, {"product_id": "a ghost", "window_start": row["window_start"]})
    assert found.expected is None
    assert not found.equal

    check_sample(tenant, 50, seed, [WINDOWS])
    (wrong,) = differences(tenant, datetime.now(UTC), [WINDOWS])
    assert wrong.row.startswith("'a ghost' ")
    damage(tenant, WINDOWS, lambda rows: rows.filter(pl.col("product_id") != "a ghost"))
    check_sample(tenant, 1, seed, [WINDOWS])
    assert differences(tenant, datetime.now(UTC), [WINDOWS]) == []
    assert [state for _, state in told(tenant)] == [OPENED, WITHDRAWN]


def test_the_command_names_what_differs_and_fails(tenant: Settings, seed: int) -> None:
    damage(tenant, WINDOWS, lambda rows: rows.with_columns(clicks=pl.col("clicks") + 1))
    ran = lakehouse(tenant, "parity", "--rows", "60", "--seed", str(seed))
    assert ran.returncode == 1
    assert f"{WINDOWS} mug 2024-03-01T10:00 differs in clicks" in ran.stdout
    assert "differ in 24 h" in ran.stdout


def told(settings: Settings) -> list[tuple[str, str]]:
    """Rule and state of the alerts about tables, in the order in which they were sent."""
    records = sorted(read_partitions(settings, ALERTS), key=lambda record: record.arrival_ms)
    alerts = [parse_alert(record.value or b"") for record in records]
    return [(alert.rule, alert.state) for alert in alerts if isinstance(alert, TableAlert)]


def mug(settings: Settings) -> Checked:
    key = scan(settings, WINDOWS).filter(product_id="mug").select("product_id", "window_start").collect()
    return check_row(settings, WINDOWS, key.row(0, named=True))


def _without_purchase(rows: pl.DataFrame) -> pl.DataFrame:
    """As who computes windows from silver without ana's purchase would have it."""
    mine = pl.col("product_id") == "mug"
    hashes = {"fingerprint": pl.col("fingerprint") - 1, "conversions": pl.lit(0, pl.Int64)}
    less = {"revenue_cents": pl.lit(0, pl.Int64), "events": pl.col("events") - 1}
    return rows.with_columns(
        pl.when(mine).then(value.cast(rows.schema[name])).otherwise(name).alias(name)
        for name, value in (hashes | less).items()
    )
