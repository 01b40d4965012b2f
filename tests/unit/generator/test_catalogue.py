"""The generated catalogue fits the generated days."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

from lakehouse.contracts.times import parse_time
from lakehouse.contracts.validation import Valid, validate
from lakehouse.generator.catalogue import base_products, base_profiles, product_changes, profile_changes
from lakehouse.generator.render import records
from lakehouse.generator.shop import PRODUCTS, PROFILES
from lakehouse.generator.traffic import ShopDay

DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def test_same_seed_gives_the_same_versions(seed: int) -> None:
    assert base_products(seed) == base_products(seed)
    assert product_changes(seed, DAY, learnt_late=False) == product_changes(seed, DAY, learnt_late=False)
    assert base_products(seed) != base_products(seed + 1)


def test_histories_begin_before_the_day(seed: int) -> None:
    products, profiles = base_products(seed), base_profiles(seed)
    assert 0.98 * PRODUCTS < len(products) < PRODUCTS
    assert len(profiles) == PROFILES
    assert all(version.valid_from < MIDNIGHT for version in (*products, *profiles))


def test_changes_lie_within_the_day(seed: int) -> None:
    in_time, late = (product_changes(seed, DAY, learnt_late=learnt) for learnt in (False, True))
    assert len(in_time) > 500
    assert 20 < len(late) < len(in_time)
    for version in (*in_time, *late, *profile_changes(seed, DAY)):
        assert timedelta(0) <= version.valid_from - MIDNIGHT < timedelta(days=1)


def test_every_product_has_a_version_once_all_is_learnt(seed: int) -> None:
    versions = base_products(seed) + [v for late in (False, True) for v in product_changes(seed, DAY, learnt_late=late)]
    assert len({version.product_id for version in versions}) == PRODUCTS


def test_the_scenes_of_a_small_day_are_about_products_with_a_history() -> None:
    # With this seed the bot, a twentieth of the day, looked at a new product.
    test_nearly_all_events_with_a_product_find_a_version_and_some_find_none(1214180332)


def test_nearly_all_events_with_a_product_find_a_version_and_some_find_none(seed: int) -> None:
    begins: dict[str, int] = defaultdict(lambda: 2**63)
    for version in base_products(seed) + product_changes(seed, DAY, learnt_late=False):
        at = parse_time(version.valid_from.isoformat()) or 0
        begins[version.product_id] = min(begins[version.product_id], at)
    found = missing = 0
    for chunk in records(ShopDay(DAY, clicks=20_000, purchases=200, seed=seed)):
        for record in chunk:
            verdict = validate(*record, 2**62)
            assert isinstance(verdict, Valid)
            if product := verdict.fields["product_id"]:
                enriched = begins[str(product)] <= int(verdict.fields["event_time"] or 0)
                found, missing = found + enriched, missing + (not enriched)
    assert found / (found + missing) > 0.95
    assert missing
