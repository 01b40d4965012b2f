from pathlib import Path

import pytest

from lakehouse.drained import DrainState, Hop, Lag, NotDrainedError
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import parse_spark_offsets

OFFSET_LOG = """v1
{"batchWatermarkMs":0,"batchTimestampMs":1709251200000,"conf":{}}
{"shop.clicks":{"0":12,"1":0},"shop.purchases":{"0":3}}
{"shop.products":{"0":7}}
"""


def lag(end: int, position: int | None, start: int = 0) -> int:
    return Lag("spark_lakehouse", "shop.clicks", 0, start, end, position).lag


def test_lag_counts_from_the_position_to_the_end() -> None:
    assert lag(10, 4) == 6
    assert lag(10, 10) == 0


def test_who_has_read_nothing_owes_all_that_the_log_still_has() -> None:
    assert lag(10, None, start=4) == 6
    assert lag(10, None, start=10) == 0
    assert lag(0, None) == 0


def test_a_position_past_the_end_asked_for_is_no_lag() -> None:
    assert lag(10, 12) == 0


def test_sparks_offset_log_has_a_line_per_source(tmp_path: Path) -> None:
    assert parse_spark_offsets(Settings(home=tmp_path), OFFSET_LOG) == {
        "shop.clicks": {0: 12, 1: 0},
        "shop.purchases": {0: 3},
        "shop.products": {0: 7},
    }


def test_a_source_without_offsets_yet_is_a_dash(tmp_path: Path) -> None:
    log = OFFSET_LOG.replace('{"shop.products":{"0":7}}', "-")
    assert "shop.products" not in parse_spark_offsets(Settings(home=tmp_path), log)


def test_topics_lose_their_namespace(tmp_path: Path) -> None:
    log = OFFSET_LOG.replace("shop.", "tenant.shop.")
    assert set(parse_spark_offsets(Settings(home=tmp_path, namespace="tenant"), log)) == {
        "shop.clicks",
        "shop.purchases",
        "shop.products",
    }


@pytest.mark.parametrize(
    ("hops", "drained"),
    [
        ((Hop("a"), Hop("b")), True),
        ((Hop("a"), Hop("b", "one record")), False),
        ((Hop("a"),), False),  # the second was not looked at
        ((), False),
    ],
)
def test_drained_is_every_hop_done(hops: tuple[Hop, ...], drained: bool) -> None:
    assert DrainState(hops, 2).drained is drained


def test_the_error_names_the_hop_that_was_waited_for() -> None:
    state = DrainState((Hop("a"), Hop("b", "shop.clicks[3] 7 behind", 7)), 2)
    assert "waiting for b: shop.clicks[3] 7 behind" in str(NotDrainedError(state, 60))
