"""Sums of money: exact, or none."""

from typing import Final

_LIMIT: Final = 1 << 63


def money_sum(cents: int) -> int | None:
    """`cents` as a row has them; None where they don't fit a signed 64-bit integer.

    No amount is negative. So where one part of a sum doesn't fit, the whole doesn't either, and a row that is rolled up
    from rows without a sum has none.
    """
    return cents if cents < _LIMIT else None
