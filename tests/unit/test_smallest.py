"""What is left out of a case, and what isn't."""

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.parity.smallest import reduced


@given(st.lists(st.integers(0, 9), max_size=30), st.sets(st.integers(0, 9), max_size=4))
def test_what_is_needed_stays_in_order_and_nothing_else(items: list[int], needed: set[int]) -> None:
    present = needed & set(items)
    kept = list(reduced(items, lambda some: present <= set(some)))
    assert sorted(kept) == sorted(present)
    order = iter(items)
    assert all(item in order for item in kept)


@given(st.integers(0, 20), st.integers(1, 5))
def test_no_single_item_can_go_where_a_number_of_them_is_needed(size: int, least: int) -> None:
    items = list(range(size))
    kept = reduced(items, lambda some: len(some) >= min(least, size))
    assert len(kept) == min(least, size)
