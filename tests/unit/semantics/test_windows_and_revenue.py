from lakehouse.semantics import Events
from lakehouse.semantics.metrics.alerts.reference import ctr_anomalies
from lakehouse.semantics.reference import METRICS
from tests.strategies import click, impression, product, purchase


def rows(table: str, *events: object) -> list[dict[str, object]]:
    return list(METRICS[table].compute(Events.of(events)))  # type: ignore[arg-type]


def anomaly(impressions: int, clicks: int) -> bool:
    stream = [impression("ana", "10:00") for _ in range(impressions)] + [click("ana", "10:01") for _ in range(clicks)]
    return bool(list(ctr_anomalies(Events.of(stream))))


def test_an_anomaly_has_20_impressions_and_more_than_half_clicked() -> None:
    assert anomaly(20, 11)
    assert not anomaly(20, 10)
    assert not anomaly(19, 19)
    assert anomaly(21, 11)


def test_product_daily_has_the_version_valid_in_the_days_last_millisecond() -> None:
    versions = product("mug", "08:00", "old"), product("mug", "23:59:59.999", "new"), product("mug", "24:00", "next")
    (row,) = rows("marts.product_daily", click("ana", "10:00"), *versions)
    assert row["category"] == "new"


def test_product_daily_before_the_first_version_has_no_category() -> None:
    (row,) = rows("marts.product_daily", click("ana", "10:00"), product("mug", "24:00"))
    assert row["category"] is None


def test_region_daily_counts_a_user_once() -> None:
    (row,) = rows(
        "marts.region_daily",
        impression("ana", "10:00", None),
        click("ana", "11:00"),
        purchase("ana", "12:00"),
        purchase("bo", "12:00"),
    )
    assert (row["purchases"], row["clicks"], row["impressions"], row["distinct_users"]) == (2, 1, 1, 2)


def test_a_mart_s_sum_that_fits_no_64_bits_is_none_and_its_row_is_there() -> None:
    huge = [purchase("ana", "10:00", "gold", cents=9 * 10**18), purchase("bo", "10:01", "gold", cents=9 * 10**18)]
    found = rows("marts.region_daily", *huge, purchase("bo", "10:02", "mug", region="süd"))
    assert [r["revenue_cents"] for r in found] == [None, 500]
