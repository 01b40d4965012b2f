"""What the generated shop is made of: its products, people, regions and pages, and how they are named."""

from typing import Final

import numpy as np
import numpy.typing as npt

PRODUCTS: Final = 10_000
"""Products in the catalogue; number 0 sells best."""
UNLISTED_PRODUCTS: Final = 50
"""Products that are clicked but stand in no catalogue; numbered from `PRODUCTS` on."""
PROFILES: Final = 10_000
"""Users with a profile: the first ones."""
NO_PRODUCT: Final = -1

REGIONS: Final = ("de", "fr", "es", "it", "nl", "at", "pl", "se", "Île-de-France", "Köln", "東京")
"""Non-ASCII ones are there because engines must order and hash UTF-8 bytes alike."""
_REGION_WEIGHTS: Final = np.array([22, 18, 13, 12, 9, 6, 7, 5, 4, 3, 1]) / 100
COUNTRIES: Final = ("DE", "FR", "ES", "IT", "NL", "AT", "PL", "SE", "FR", "DE", "日本")
"""The country of each region."""
MERCHANTS: Final = 300
PRODUCT_PAGE: Final = 0
PAGES: Final = ("/product", "/", "/search", "/category", "/cart", "/account", "/señales")

Ints = npt.NDArray[np.int64]


def product_id(number: int) -> str:
    return f"p{number:05d}"


def user_id(number: int) -> str:
    return f"u{number:07d}"


def is_new(product: int) -> bool:
    """Whether the product has no history from before the first generated day: one in a hundred of the tail."""
    return product % 97 == 50


def rng(seed: int, *purpose: int) -> np.random.Generator:
    """A generator of its own for each purpose, so that one part's draws never shift another's."""
    return np.random.default_rng([seed, *purpose])


def draw_products(random: np.random.Generator, count: int) -> Ints:
    """Product numbers by Zipf's law: number n is drawn in proportion to 1 / (n + 1)."""
    cumulative = np.cumsum(1 / np.arange(1, PRODUCTS + 1))
    drawn: Ints = np.searchsorted(cumulative, random.random(count) * cumulative[-1], side="right").astype(np.int64)
    return drawn


def user_regions(seed: int, users: int) -> Ints:
    """The home region of each user; a user keeps it whatever the number of users is."""
    drawn: Ints = rng(seed, 1).choice(len(REGIONS), size=users, p=_REGION_WEIGHTS).astype(np.int64)
    return drawn


def base_prices(seed: int) -> Ints:
    """Cents per product at the beginning of its history, unlisted ones included."""
    drawn = rng(seed, 2).lognormal(7.6, 0.9, PRODUCTS + UNLISTED_PRODUCTS)
    return np.clip(drawn, 99, 500_000).astype(np.int64)
