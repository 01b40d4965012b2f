"""A day's volume against the days before it."""

from datetime import date, timedelta

import pytest

from quality.around import volume
from quality.rules import Severity

DAY = date(2024, 3, 8)


def week(*rows: int) -> dict[date, int]:
    """The days before `DAY`, the last first."""
    return {DAY - timedelta(days=back): count for back, count in enumerate(rows, 1)}


@pytest.mark.parametrize(("rows", "kept"), [(49, False), (50, True), (100, True), (200, True), (201, False)])
def test_a_day_has_between_half_and_twice_the_median_before_it(rows: int, kept: bool) -> None:
    found = volume(week(90, 5_000, 100, 1, 110, 100, 100) | {DAY: rows}, DAY)
    assert found is not None
    assert found.severity is Severity.WARNING
    assert found.violations == ([] if kept else [{"day": DAY, "rows": rows, "usual": 100}])


def test_a_day_without_rows_among_days_with_rows_is_found() -> None:
    found = volume(week(100, 100, 100), DAY)
    assert found is not None
    assert found.violations == [{"day": DAY, "rows": 0, "usual": 100}]


def test_of_fewer_than_three_days_nothing_can_be_said() -> None:
    assert volume(week(100, 0, 100) | {DAY: 1}, DAY) is None
    assert volume(week(0, 0, 0, 0, 0, 0, 0, 100, 100, 100) | {DAY: 1}, DAY) is None, "older than a week"


def test_a_week_without_events_does_not_warn_for_ever() -> None:
    assert volume(week(0, 0, 0, 0, 0, 0, 0), DAY) is None
