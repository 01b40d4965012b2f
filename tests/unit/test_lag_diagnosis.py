"""Why a consumer is behind: the chapter's table (25.1.5) with its answers, and each cause alone."""

import json
from collections.abc import Sequence
from math import inf

import pytest

from lakehouse.drained.diagnosis import Cause, Diagnosis, Pace, diagnose, hot_partitions
from lakehouse.drained.look import Look
from lakehouse.drained.positions import Lag

CHAPTER = [
    (1_245_891, 1_245_891, "consumer-1"),
    (1_198_432, 1_198_432, "consumer-1"),
    (1_267_103, 1_267_103, "consumer-2"),
    (1_189_654, 1_189_654, "consumer-2"),
    (1_234_876, 1_234_876, "consumer-3"),
    (1_201_234, 1_201_234, "consumer-3"),
    (1_198_765, 1_045_234, "consumer-4"),
    (1_267_890, 1_114_321, "consumer-4"),
    (1_223_456, 1_070_043, "consumer-4"),
    (1_256_789, 1_103_345, "consumer-4"),
    (2_456_789, 891_234, "consumer-5"),
    (2_478_123, 889_012, "consumer-5"),
]
PAYMENTS = [
    Lag(consumer, "pagos-eventos", partition, 0, end, position)
    for partition, (end, position, consumer) in enumerate(CHAPTER)
]


def chapter() -> dict[str, Diagnosis]:
    return {found.consumer: found for found in diagnose(PAYMENTS, assumed_rate=10_000)}


@pytest.mark.parametrize("consumer", ["consumer-1", "consumer-2", "consumer-3"])
def test_the_chapters_consumers_without_lag_are_well(consumer: str) -> None:
    found = chapter()[consumer]
    assert (found.lag, found.causes, found.catch_up_seconds, found.advice) == (0, {}, 0, ())


def test_the_chapters_consumer_4_is_slow_on_all_its_partitions() -> None:
    found = chapter()["consumer-4"]
    assert found.lag == 613_957
    assert found.causes == dict.fromkeys((6, 7, 8, 9), (Cause.SLOW,))
    assert found.catch_up_seconds == pytest.approx(61.4, abs=0.1)
    (advice,) = found.advice
    assert "partitions 6, 7, 8, 9" in advice
    assert "more members help" in advice


def test_the_chapters_consumer_5_has_hot_partitions_and_is_slow_as_well() -> None:
    found = chapter()["consumer-5"]
    assert found.lag == 3_154_666
    assert found.causes == dict.fromkeys((10, 11), (Cause.HOT, Cause.SLOW))
    assert found.catch_up_seconds == pytest.approx(315.5, abs=0.1)
    slow, hot = found.advice
    assert "also slow, or was away" in slow
    assert "2.0 times what the topic's other partitions get" in hot


def test_one_key_makes_the_chapters_hot_partition_one_of_skew() -> None:
    found = diagnose(PAYMENTS, top_keys={("pagos-eventos", 10): ("merchant-1", 0.63)})[-1]
    assert found.causes == {10: (Cause.SKEW, Cause.SLOW), 11: (Cause.HOT, Cause.SLOW)}
    assert "partition 10: 63% of what came last has the key merchant-1" in found.advice[-1]


def lags(*ends_and_positions: tuple[int, int | None], start: int = 0) -> list[Lag]:
    return [Lag("job", "shop.clicks", p, start, end, at) for p, (end, at) in enumerate(ends_and_positions)]


def one(before: Sequence[Lag], after: Sequence[Lag], seconds: float = 10) -> Diagnosis:
    (found,) = diagnose(after, Pace.between(before, after, seconds))
    return found


def test_who_never_committed_is_stopped() -> None:
    (found,) = diagnose(lags((5_000, None), (5_000, 5_000)))
    assert found.causes == {0: (Cause.STOPPED,)}
    assert "lakehouse job status job" in found.advice[0]
    assert found.catch_up_seconds is None


def test_who_moves_nothing_is_stopped_and_never_done() -> None:
    found = one(lags((5_000, 100)), lags((6_000, 100)))
    assert (found.causes, found.catch_up_seconds) == ({0: (Cause.STOPPED,)}, inf)
    assert "has moved nothing in 10 s" in found.advice[0]


def test_one_partition_may_be_stopped_alone() -> None:
    found = one(lags((90_000, 100), (90_000, 100)), lags((90_000, 100), (90_000, 5_000)))
    assert found.causes == {0: (Cause.STOPPED,), 1: (Cause.CATCHING_UP,)}


def test_who_does_less_than_comes_is_slow_and_never_done() -> None:
    found = one(lags((90_000, 0)), lags((91_000, 500)))
    assert (found.causes, found.catch_up_seconds) == ({0: (Cause.SLOW,)}, inf)


def test_who_does_more_than_comes_catches_up_in_the_time_of_its_last_partition() -> None:
    found = one(lags((90_000, 0), (90_000, 60_000)), lags((91_000, 11_000), (91_000, 71_000)))
    assert found.causes == {0: (Cause.CATCHING_UP,), 1: (Cause.CATCHING_UP,)}
    assert found.catch_up_seconds == pytest.approx(80)  # 80,000 records at 1,100 - 100 a second
    assert found.advice == ()


def test_a_minute_of_records_is_on_its_way() -> None:
    assert one(lags((1_000, 900)), lags((2_000, 1_900))).causes == {0: (Cause.ON_THE_WAY,)}


@pytest.mark.parametrize(("end", "hot"), [(14_999, False), (15_000, True)])
def test_a_partition_is_hot_from_half_as_much_again_as_the_median(end: int, hot: bool) -> None:
    found = hot_partitions(lags((10_000, 0), (10_000, 0), (end, 0)))
    assert found == ({("shop.clicks", 2): 1.5} if hot else {})


def test_of_few_records_none_is_hot() -> None:
    assert hot_partitions(lags((10, 0), (10, 0), (900, 0))) == {}


def test_what_retention_removed_heats_nobody() -> None:
    uneven = [Lag("job", "t", p, start, start + 10_000, None) for p, start in enumerate((0, 50_000, 0))]
    assert hot_partitions(uneven) == {}


def test_a_partition_that_becomes_hot_shows_in_the_pace() -> None:
    before, after = lags((90_000, 0), (90_000, 0), (90_000, 0)), lags((91_000, 1), (91_000, 1), (99_000, 1))
    assert hot_partitions(after) == {}
    assert list(hot_partitions(after, Pace.between(before, after, 10))) == [("shop.clicks", 2)]


def test_a_hot_partition_that_only_has_its_excess_left_is_not_slow() -> None:
    (found,) = diagnose(lags((100_000, 100_000), (100_000, 100_000), (300_000, 150_000)))
    assert found.causes == {2: (Cause.HOT,)}


def test_a_look_says_of_each_partition_what_is_said_of_its_consumer_and_topic() -> None:
    found = Look(PAYMENTS, None, diagnose(PAYMENTS, assumed_rate=10_000))

    assert found.behind == ["consumer-4", "consumer-5"]
    entries = found.to_list()
    assert [entry["partition"] for entry in entries] == list(range(12))
    assert (entries[0]["lag"], entries[0]["causes"], entries[0]["advice"]) == (0, [], [])
    assert entries[10]["causes"] == [str(cause) for cause in found.causes(PAYMENTS[10])] != []
    assert entries[10]["advice"] == entries[11]["advice"] == list(chapter()["consumer-5"].advice)
    assert json.loads(json.dumps(entries)) == entries
