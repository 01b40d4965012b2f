"""The smallest input that still shows what the whole shows."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from lakehouse.parity.check import Checked, Record, recompute

T = TypeVar("T")


def smallest(found: Checked) -> tuple[Record, ...]:
    """Of the records behind a row, those without which the reference would make another row."""
    return tuple(reduced(found.records, lambda kept: recompute(found.table, found.key, tuple(kept)) == found.expected))


def reduced(items: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """A subsequence for which `holds` is true, and false without any one of its items.

    It leaves out ever smaller pieces (Zeller's ddmin: Simplifying and Isolating Failure-Inducing Input, 2002, without
    its looking at single pieces). `holds(items)` must be true.
    """
    size = max(1, len(items) // 2)
    while items:
        before, start = len(items), 0
        while start < len(items):
            rest = [*items[:start], *items[start + size :]]
            if holds(rest):
                items = rest
            else:
                start += size
        if size == 1 and len(items) == before:
            break
        size = max(1, size // 2)
    return items
