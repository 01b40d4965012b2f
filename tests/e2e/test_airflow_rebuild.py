"""The DAG `rebuild`, which is there with the Spark driver, whose tables it makes."""

import pytest

from lakehouse.airflow_api import AirflowClient
from lakehouse.contracts.graph import DERIVED
from lakehouse.settings import Settings
from tests.e2e.conftest import SHOP_DAYS
from tests.lake import assert_rebuilt

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

PATIENCE_SECONDS = 600
FIRST, LAST = SHOP_DAYS[1:]
MAY_BE_EMPTY = {"silver.products", "silver.profiles", "silver.transactions", "gold.fraud_decisions", "gold.alerts"}
"""Nothing is sent to their topics, or Flink, which ingests transactions, does not run; few clicks may alert nobody."""


def test_a_rebuild_puts_its_days_into_staging_tables(airflow: AirflowClient, shop_days: Settings) -> None:
    airflow.wait(airflow.trigger("rebuild", {"from": FIRST.isoformat(), "to": LAST.isoformat()}), PATIENCE_SECONDS)

    rows = {name: assert_rebuilt(shop_days, name, FIRST, LAST) for name in DERIVED}
    assert {name for name, count in rows.items() if not count} <= MAY_BE_EMPTY
