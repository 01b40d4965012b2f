from typing import Any

from lakehouse.semantics import Click, Events
from lakehouse.semantics.reference import METRICS
from tests.strategies import at, click, impression, product, profile, purchase


def attributed(*clicks: Click) -> str | None:
    """The click that a purchase of a mug by ana at 10:05 is attributed to."""
    (row,) = METRICS["silver.purchase_clicks"].compute(Events.of([*clicks, purchase("ana", "10:05")]))
    return row["click_event_id"]  # type: ignore[no-any-return]


def test_within_gap() -> None:
    assert attributed(click("ana", "10:00:00.001", event_id="c")) == "c"


def test_exact_gap() -> None:
    assert attributed(click("ana", "10:00", event_id="c")) == "c"


def test_past_gap() -> None:
    assert attributed(click("ana", "9:59:59.999")) is None


def test_at_the_purchase() -> None:
    assert attributed(click("ana", "10:05", event_id="c")) == "c"


def test_after_the_purchase() -> None:
    assert attributed(click("ana", "10:05:00.001")) is None


def test_the_latest_click_wins() -> None:
    assert attributed(click("ana", "10:03", event_id="z"), click("ana", "10:04", event_id="a")) == "a"


def test_at_one_time_the_highest_id_in_utf8_order_wins() -> None:
    # U+FFFD comes before U+1F600 as UTF-8, after it as UTF-16.
    assert (
        attributed(click("ana", "10:04", event_id="\ufffd"), click("ana", "10:04", event_id="\U0001f600"))
        == "\U0001f600"
    )


def test_only_clicks_of_the_user_on_the_product() -> None:
    assert attributed(impression("ana", "10:04"), click("bo", "10:04"), click("ana", "10:04", "pan")) is None


def test_an_unattributed_purchase_stays() -> None:
    bought = purchase("ana", "10:05")
    (row,) = METRICS["silver.purchase_clicks"].compute(Events.of([bought]))
    assert (row["events"], row["fingerprint"], row["click_event_time"]) == (1, bought.record_hash, None)


def test_an_attributed_purchase_sums_both_fingerprints() -> None:
    clicked, bought = click("ana", "10:04"), purchase("ana", "10:05")
    (row,) = METRICS["silver.purchase_clicks"].compute(Events.of([clicked, bought]))
    assert (row["events"], row["fingerprint"]) == (2, clicked.record_hash + bought.record_hash)


def scd2(table: str, *versions: Any) -> list[tuple[int, int | None, int]]:
    rows = METRICS[table].compute(Events.of(versions))
    return sorted((r["valid_from"], r["valid_to"], r["offset"]) for r in rows)


def test_a_version_ends_where_the_next_begins() -> None:
    assert scd2("silver.products", product("mug", "12:00", offset=0), product("mug", "08:00", offset=1)) == [
        (at("08:00"), at("12:00"), 1),
        (at("12:00"), None, 0),
    ]


def test_of_two_versions_with_one_valid_from_the_higher_offset_wins() -> None:
    assert scd2("silver.profiles", profile("ana", "08:00", offset=7), profile("ana", "08:00", offset=3)) == [
        (at("08:00"), None, 7)
    ]


def test_of_two_partitions_the_higher_wins() -> None:
    assert scd2(
        "silver.products", product("mug", "08:00", offset=7), product("mug", "08:00", offset=3, partition=1)
    ) == [(at("08:00"), None, 3)]


def category(clock: str) -> str | None:
    stream = [product("mug", "08:00", "old"), product("mug", "12:00", "new"), click("ana", clock)]
    (row,) = METRICS["silver.clicks"].compute(Events.of(stream))
    return row["category"]  # type: ignore[no-any-return]


def test_enrichment_takes_the_version_valid_at_event_time() -> None:
    assert category("07:59:59.999") is None
    assert category("08:00") == "old"
    assert category("11:59:59.999") == "old"
    assert category("12:00") == "new"


def test_a_page_without_a_product_has_no_version() -> None:
    (row,) = METRICS["silver.clicks"].compute(Events.of([product("mug", "08:00"), click("ana", "09:00", None)]))
    assert row["product_valid_from"] is None
