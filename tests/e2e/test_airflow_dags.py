"""What the DAGs do with real tables, triggered over REST as a script would."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import polars as pl
import pytest

from jobs.rust_engines import MARTS
from lakehouse.airflow_api import FINISHED, AirflowClient, DagRun, DagRunFailedError
from lakehouse.alerts import OPENED, QUALITY_FAILED, WITHDRAWN, TableAlert
from lakehouse.compare.sent import alerts_sent
from lakehouse.contracts.owners import BACKFILL
from lakehouse.contracts.tables import checked_tables
from lakehouse.delta import Once, append, open_table, scan, table_exists
from lakehouse.delta.describe import commits, extent
from lakehouse.delta.maintenance import compact
from lakehouse.delta.notes import Publication
from lakehouse.delta.write import to_arrow
from lakehouse.settings import Settings
from tests.e2e.conftest import SHOP_DAYS
from tests.waiting import until

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

PATIENCE_SECONDS = 600
METRICS, DAILY, FUNNEL = "gold.product_metrics_5m", "marts.product_daily", "marts.session_funnel"
DAY, *BACKFILLED = SHOP_DAYS


@contextmanager
def broken_row(settings: Settings, day: date) -> Iterator[None]:
    """A row that breaks the suite of `METRICS`, committed behind its owner's back; gone afterwards."""
    row = scan(settings, METRICS, dates=(day, day)).head(1).collect()
    row = row.with_columns(product_id=pl.lit("broken"), clicks=pl.lit(-1, pl.Int64))
    append(settings, METRICS, to_arrow(METRICS, row), Once.new("test"))
    try:
        yield
    finally:
        open_table(settings, METRICS).delete("product_id = 'broken'")


def clear(airflow: AirflowClient, run: DagRun, task: str) -> None:
    """Have a task of a finished run done again, it alone."""
    airflow.call(
        "POST",
        f"/dags/{run.dag_id}/clearTaskInstances",
        dry_run=False,
        dag_run_id=run.run_id,
        task_ids=[task],
        only_failed=False,
    )


def told(settings: Settings, name: str) -> list[tuple[str | None, str]]:
    """Day and state of the alerts that the checks of a table have sent."""
    return [
        (alert.day, alert.state)
        for alert in alerts_sent(settings)
        if isinstance(alert, TableAlert) and (alert.rule, alert.table) == (QUALITY_FAILED, name)
    ]


def days_of(settings: Settings, mart: str) -> set[date]:
    if not table_exists(settings, mart):
        return set()
    return set(scan(settings, mart).select("event_date").unique().collect()["event_date"])


def test_a_backfill_builds_the_marts_of_exactly_its_days(airflow: AirflowClient, shop_days: Settings) -> None:
    before = {mart: days_of(shop_days, mart) for mart in MARTS}
    first, last = BACKFILLED
    airflow.unpause(BACKFILL)

    airflow.backfill(BACKFILL, first, last)
    runs = airflow.backfill_runs(BACKFILL, first, last)
    for run in runs:
        airflow.wait(run, PATIENCE_SECONDS)

    assert len(runs) == 2
    for mart in MARTS:
        assert days_of(shop_days, mart) - before[mart] == {first, last}


def test_what_is_committed_after_the_checks_does_not_reach_the_mart(
    airflow: AirflowClient, shop_days: Settings
) -> None:
    airflow.unpause(BACKFILL)
    checked = {name: int(open_table(shop_days, name).version()) for name in MARTS[DAILY].reads}
    run = airflow.trigger(BACKFILL, {"day": DAY.isoformat()})
    mart = f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/product_daily"
    airflow.call("PATCH", mart, new_state="failed")
    until(lambda: airflow.run_state(run) in FINISHED, PATIENCE_SECONDS, "the checks are done", every=1)
    held = airflow.task_states(run)
    assert held["product_daily"] == "failed"
    assert {held[f"check_{name.replace('.', '_')}"] for name in checked} == {"success"}

    with broken_row(shop_days, DAY):
        clear(airflow, run, "product_daily")
        airflow.wait(run, PATIENCE_SECONDS)

    assert published(shop_days, DAILY).read_versions == checked
    assert "broken" not in set(scan(shop_days, DAILY, dates=(DAY, DAY)).collect()["product_id"])


def published(settings: Settings, mart: str) -> Publication:
    """What the mart's newest commit says."""
    (newest,) = commits(open_table(settings, mart), 1)
    assert isinstance(newest.note, Publication)
    return newest.note


def test_a_day_is_built_from_the_tables_as_of_a_time_and_a_time_that_cannot_be_read_publishes_nothing(
    airflow: AirflowClient, shop_days: Settings
) -> None:
    airflow.unpause(BACKFILL)
    then = datetime.now(UTC)
    versions = {name: int(open_table(shop_days, name).version()) for name in MARTS[FUNNEL].reads}
    for name in versions:
        append(shop_days, name, to_arrow(name, scan(shop_days, name).head(0).collect()), Once.new("test"))

    airflow.wait(airflow.trigger(BACKFILL, {"day": DAY.isoformat(), "as_of": then.isoformat()}), PATIENCE_SECONDS)
    note, held = published(shop_days, FUNNEL), int(open_table(shop_days, FUNNEL).version())
    assert (note.read_versions, note.as_of) == (versions, then)

    before_history = (then - timedelta(days=30)).isoformat()
    run = airflow.trigger(BACKFILL, {"day": DAY.isoformat(), "as_of": before_history})
    with pytest.raises(DagRunFailedError, match=r"check_silver_sessions \(failed\)"):
        airflow.wait(run, PATIENCE_SECONDS)
    with pytest.raises(httpx.HTTPStatusError, match="as_of"):
        airflow.trigger(BACKFILL, {"as_of": "yesterday"})
    assert open_table(shop_days, FUNNEL).version() == held


def test_a_broken_row_blocks_its_mart_and_fails_the_quality_run_until_it_is_gone(
    airflow: AirflowClient, shop_days: Settings
) -> None:
    airflow.unpause(BACKFILL)
    docs = shop_days.home / "reports" / "data_docs"

    with broken_row(shop_days, DAY):
        marts, quality = airflow.trigger(BACKFILL, {"day": DAY.isoformat()}), airflow.trigger("quality")
        with pytest.raises(DagRunFailedError, match=r"check_gold_product_metrics_5m \(failed\)"):
            airflow.wait(marts, PATIENCE_SECONDS)
        with pytest.raises(DagRunFailedError, match=r"check_gold_product_metrics_5m \(failed\);"):
            airflow.wait(quality, PATIENCE_SECONDS)
        shown = {file.stem: json.loads(file.read_text()) for file in docs.glob("*.json")}

    assert airflow.task_states(marts)["product_daily"] == "upstream_failed"
    assert airflow.task_states(marts)["region_daily"] == "success"
    assert airflow.task_states(marts)["session_funnel"] == "success"
    assert {name for name, page in shown.items() if not page["success"]} == {METRICS}
    assert set(shown) == set(checked_tables())
    assert all((docs / f"{name}.html").exists() for name in shown)
    aside = scan(shop_days, "quarantine.rows").filter(table=METRICS).collect()
    assert {f"{run.dag_id}/{run.run_id}" for run in (marts, quality)} <= set(aside["run_id"])
    assert {(DAY.isoformat(), OPENED), (None, OPENED)} <= set(told(shop_days, METRICS))

    clear(airflow, quality, "check_gold_product_metrics_5m")
    airflow.wait(quality, PATIENCE_SECONDS)

    assert json.loads((docs / f"{METRICS}.json").read_text())["success"]
    assert (None, WITHDRAWN) in told(shop_days, METRICS)


def test_maintenance_leaves_nothing_to_compact_in_the_tables_asked_for(
    airflow: AirflowClient, shop_days: Settings
) -> None:
    airflow.unpause("table_maintenance")
    others = {name: open_table(shop_days, name).version() for name in ("silver.clicks", "silver.purchases")}
    run = airflow.trigger("table_maintenance", {"tables": ["bronze.clicks", "bronze.purchases"]})
    airflow.wait(run, PATIENCE_SECONDS)
    for name in ("bronze.clicks", "bronze.purchases"):
        files = extent(open_table(shop_days, name)).files
        assert compact(shop_days, name).files_after == files
    assert {name: open_table(shop_days, name).version() for name in others} == others
