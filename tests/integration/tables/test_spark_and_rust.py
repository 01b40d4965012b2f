"""Tables go from delta-rs to Spark and back: each engine reads what the other wrote, to the last digit."""

import subprocess
import sys
from datetime import date

import pytest

from jobs.rust_engines import MARTS, publish_day
from lakehouse.delta import open_table
from lakehouse.settings import ROOT, Settings
from quality import run_quality
from tests.integration.tables.test_marts import shop
from tests.lake import expected, fill, stored

pytestmark = pytest.mark.timeout(600)

TABLES = (
    "silver.clicks",
    "silver.purchases",
    "silver.products",
    "silver.sessions",
    "gold.product_metrics_5m",
    "gold.user_totals",
)
"""What marts are made of, partitioned and not."""
DAYS = (date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3))


@pytest.fixture(scope="module")
def events(seed):
    return shop(seed, 150)


@pytest.fixture(scope="module")
def by_spark(stack, events) -> Settings:
    """`TABLES`, written by delta-rs, read by Spark and written by it once more."""
    source = stack.ensure("minio").model_copy(update={"namespace": "rust"})
    fill(source, events, *TABLES)
    command = [sys.executable, "-m", "tests.integration.tables.spark_copy", "rust", "spark", *TABLES]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return source.model_copy(update={"namespace": "spark"})


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_the_same_after_the_round_trip(by_spark, events, name):
    assert stored(by_spark, name).equals(expected(name, events))


@pytest.mark.parametrize("name", TABLES)
def test_sparks_commits_keep_the_profile(by_spark, name):
    protocol = open_table(by_spark, name).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_suites_pass_on_what_spark_wrote(by_spark):
    assert run_quality(by_spark, TABLES).success


@pytest.mark.parametrize("mart", MARTS)
def test_marts_of_what_spark_wrote_equal_the_reference(by_spark, events, mart):
    for day in DAYS:
        publish_day(by_spark, mart, day)
    assert stored(by_spark, mart).equals(expected(mart, events))
