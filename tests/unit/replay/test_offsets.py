"""Whose word is taken for where a range lies in a partition."""

import pytest

from lakehouse.replay.offsets import Offsets, Source, known


@pytest.mark.parametrize(
    ("by_kafka", "begins", "held", "found"),
    [
        ((40, 90), 0, (50, 80), Offsets(40, 90, 0)),
        # The clock had stepped back: bronze knows of an earlier record of the range.
        ((40, 90), 0, (38, 80), Offsets(38, 90, 0)),
        ((40, 90), 0, None, Offsets(40, 90, 0)),
        # Retention has removed the first records, or all.
        ((30, 90), 30, (10, 80), Offsets(10, 90, 30, Source.BRONZE)),
        ((30, 30), 30, (10, 20), Offsets(10, 20, 30, Source.BRONZE)),
        ((30, 30), 30, (10, 30), Offsets(10, 30, 30, Source.BRONZE)),
    ],
)
def test_kafka_is_asked_first_and_bronze_where_retention_has_removed_records(
    by_kafka: tuple[int, int], begins: int, held: tuple[int, int] | None, found: Offsets
) -> None:
    assert known(by_kafka, begins, held) == found
