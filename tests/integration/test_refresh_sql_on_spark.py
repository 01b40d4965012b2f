"""Every metric's one SQL says on Spark what the reference says; DataFusion: `tests/properties/test_refresh_sql.py`."""

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyspark.sql import SparkSession

from jobs.spark_session import build_session
from jobs.spark_sql import run_sql
from lakehouse.contracts.graph import DERIVED
from lakehouse.semantics import Event
from tests.cases import cases
from tests.refreshed import refreshed, rows_of
from tests.strategies import random_stream

if TYPE_CHECKING:
    from tests.conftest import Stack


@pytest.fixture(scope="module")
def spark(stack: "Stack") -> Iterator[SparkSession]:
    session = build_session(stack.settings, "refresh sql")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def drawn(seed: int) -> list[Event]:
    return random_stream(Random(seed), 1_000)


def apart(events: tuple[Event, ...], number: int) -> Iterator[Event]:
    """The events of a case with users, products and regions of their own, so that many cases fit into one stream."""
    for event in events:
        named = {column: getattr(event, column, None) for column in ("user_id", "product_id", "region")}
        yield event._replace(**{column: f"{value} {number}" for column, value in named.items() if value is not None})


@pytest.mark.parametrize("name", DERIVED)
def test_the_sql_gives_the_reference_s_rows(spark: SparkSession, drawn: list[Event], name: str) -> None:
    def run(query: str, **frames: pl.DataFrame) -> pl.DataFrame:
        named = {each: spark.createDataFrame(frame.to_arrow()) for each, frame in frames.items()}
        return pl.DataFrame(run_sql(spark, query, **named).toArrow())

    literal = [event for number, case in enumerate(cases(name)) for event in apart(case.given, number)]
    stream = [*drawn, *literal]
    assert_frame_equal(refreshed(run, name, stream), rows_of(name, stream))
