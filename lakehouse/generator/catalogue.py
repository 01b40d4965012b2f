"""The generated catalogue: what products and profiles are, and how they change on a day."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

import numpy as np

from lakehouse.generator.shop import (
    PRODUCTS,
    PROFILES,
    REGIONS,
    base_prices,
    is_new,
    product_id,
    rng,
    user_id,
    user_regions,
)

CATEGORIES: Final = (
    *("books", "music", "films", "games", "toys", "garden", "kitchen", "furniture", "lighting", "tools", "shoes"),
    *("clothing", "jewellery", "cosmetics", "groceries", "Getränke", "sports", "bicycles", "phones", "computers"),
)
SEGMENTS: Final = ("new", "casual", "regular", "loyal", "dormant")
_BRANDS: Final = 200
_HISTORY_BEGINS: Final = datetime(2020, 1, 1, tzinfo=UTC)
_HISTORY_DAYS: Final = 1_400
_CHANGED: Final = 0.1
"""Share of products that change on a day."""
_LEARNT_LATE: Final = 0.1
"""Share of a day's changes that the shop records only after the day."""


class ProductVersion(NamedTuple):
    product_id: str
    category: str
    brand: str
    price_cents: int
    valid_from: datetime


class ProfileVersion(NamedTuple):
    user_id: str
    country: str
    segment: str
    valid_from: datetime


def base_products(seed: int) -> list[ProductVersion]:
    """The first version of each product that isn't new; they begin from 2020 to 2023."""
    random = rng(seed, 20)
    begins = random.integers(_HISTORY_DAYS * 86_400_000, size=PRODUCTS).tolist()
    kinds, prices = _kinds(seed), base_prices(seed).tolist()
    return [
        ProductVersion(product_id(n), *kinds[n], prices[n], _HISTORY_BEGINS + timedelta(milliseconds=begins[n]))
        for n in range(PRODUCTS)
        if not is_new(n)
    ]


def product_changes(seed: int, day: date, *, learnt_late: bool) -> list[ProductVersion]:
    """The versions that begin within `day`: those recorded in time, or those `learnt_late`."""
    random = rng(seed, day.toordinal(), 21)
    changed = random.random(PRODUCTS) < _CHANGED
    late = random.random(PRODUCTS) < _LEARNT_LATE
    at = random.integers(86_400_000, size=PRODUCTS).tolist()
    factor = random.uniform(0.7, 1.3, PRODUCTS)
    moved = random.integers(len(CATEGORIES) * 5, size=PRODUCTS).tolist()
    prices = np.maximum(1, base_prices(seed)[:PRODUCTS] * factor).astype(np.int64).tolist()
    kinds, midnight = _kinds(seed), datetime.combine(day, time(), UTC)
    versions = []
    for n in range(PRODUCTS):
        if (changed[n] or is_new(n)) and late[n] == learnt_late:
            category = CATEGORIES[moved[n]] if moved[n] < len(CATEGORIES) else kinds[n][0]
            begins = midnight + timedelta(milliseconds=at[n])
            versions.append(ProductVersion(product_id(n), category, kinds[n][1], prices[n], begins))
    return versions


def base_profiles(seed: int) -> list[ProfileVersion]:
    """The first version of each profile."""
    random = rng(seed, 22)
    begins = random.integers(_HISTORY_DAYS * 86_400_000, size=PROFILES).tolist()
    segments = random.integers(len(SEGMENTS), size=PROFILES).tolist()
    homes = user_regions(seed, PROFILES).tolist()
    return [
        ProfileVersion(
            user_id(n), REGIONS[homes[n]], SEGMENTS[segments[n]], _HISTORY_BEGINS + timedelta(milliseconds=begins[n])
        )
        for n in range(PROFILES)
    ]


def profile_changes(seed: int, day: date) -> list[ProfileVersion]:
    """The versions that begin within `day`."""
    random = rng(seed, day.toordinal(), 23)
    changed = np.flatnonzero(random.random(PROFILES) < _CHANGED / 2).tolist()
    at = random.integers(86_400_000, size=len(changed)).tolist()
    segments = random.integers(len(SEGMENTS), size=len(changed)).tolist()
    homes, midnight = user_regions(seed, PROFILES).tolist(), datetime.combine(day, time(), UTC)
    return [
        ProfileVersion(user_id(n), REGIONS[homes[n]], SEGMENTS[s], midnight + timedelta(milliseconds=ms))
        for n, s, ms in zip(changed, segments, at, strict=True)
    ]


def _kinds(seed: int) -> list[tuple[str, str]]:
    """Category and brand per product."""
    random = rng(seed, 24)
    categories = random.integers(len(CATEGORIES), size=PRODUCTS).tolist()
    brands = random.integers(_BRANDS, size=PRODUCTS).tolist()
    return [(CATEGORIES[c], f"brand-{b:03d}") for c, b in zip(categories, brands, strict=True)]
