"""On Spark's executors the follower makes the same tables, wherever it is killed, and in turns with its own engine."""

import random
from collections.abc import Iterator
from contextlib import suppress

import pytest
from pyspark.sql import SparkSession

from jobs.follower.cycle import Follower
from jobs.follower.lake import Lake
from jobs.follower.on_spark import OnSpark
from jobs.spark_session import build_session
from lakehouse.contracts.tables import FOLLOWED
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.following import KilledError, Kills, assert_equal, assert_settled, follower, write
from tests.strategies import moved, random_stream


@pytest.fixture(scope="module")
def spark(stack: Stack) -> Iterator[SparkSession]:
    session = build_session(stack.ensure("minio"), "follower on spark")
    yield session
    session.stop()


def on_spark(spark: SparkSession, lake: Settings) -> Follower:
    """One whose steps are all the executors', however few rows they read."""
    held = Lake(lake, FOLLOWED)
    return Follower(held, executors=OnSpark(spark, held, at_least=0, batch=60))


def test_it_makes_the_reference_s_rows_under_kills_in_turns_with_the_other_engine(
    spark: SparkSession, lake: Settings, seed: int, kills: Kills
) -> None:
    draw = random.Random(seed)
    first = [moved(event, event.offset + 1_000, event.partition + 1) for event in random_stream(draw, 240)]
    copies = [moved(event, event.offset - 1_000, 0) for event in draw.sample(first, 20)]  # which take their places
    stream = [*first, *copies]
    third = len(stream) // 3 + 1
    engines = (on_spark(spark, lake), follower(lake), on_spark(spark, lake))
    for number, running in enumerate(engines):
        write(lake, stream[number * third : (number + 1) * third])
        kills[draw.choice(["before", "after"])] = draw.randrange(1, 12)
        with suppress(KilledError):
            running.cycle()
        kills.clear()
    assert_settled(on_spark(spark, lake), kills)
    assert_equal(lake, stream)
    assert spark.sparkContext.statusTracker().getJobIdsForGroup()
