"""Durations as people read them."""

import pytest

from lakehouse.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.42, "0.4 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7_199, "120 min"),
        (7_200, "2.0 h"),
        (172_800, "2.0 d"),
    ],
)
def test_a_duration_has_the_unit_that_makes_it_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
