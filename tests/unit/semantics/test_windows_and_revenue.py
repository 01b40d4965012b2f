from lakehouse.semantics import Events
from lakehouse.semantics.reference import METRICS, ctr_anomalies
from tests.strategies import at, click, impression, product, purchase


def rows(table: str, *events: object) -> list[dict[str, object]]:
    return list(METRICS[table].compute(Events.of(events)))  # type: ignore[arg-type]


def test_a_window_holds_its_start_and_not_its_end() -> None:
    found = rows("gold.product_metrics_5m", click("ana", "10:05"), click("ana", "10:09:59.999"), click("ana", "10:10"))
    assert [(r["window_start"], r["window_end"], r["clicks"]) for r in found] == [
        (at("10:05"), at("10:10"), 2),
        (at("10:10"), at("10:15"), 1),
    ]


def test_product_metrics_of_one_window() -> None:
    (row,) = rows(
        "gold.product_metrics_5m",
        impression("ana", "10:00"),
        impression("bo", "10:01"),
        impression("bo", "10:01"),
        click("bo", "10:02"),
        purchase("cem", "10:03", cents=700),
        click("ana", "10:04", None),
    )
    assert (row["impressions"], row["clicks"], row["conversions"], row["revenue_cents"]) == (3, 1, 1, 700)
    assert row["ctr"] == 1 / 3
    assert row["events"] == 5


def test_ctr_is_null_without_impressions() -> None:
    assert [r["ctr"] for r in rows("gold.product_metrics_5m", click("ana", "10:00"))] == [None]
    assert [r["ctr"] for r in rows("gold.product_metrics_5m", impression("ana", "10:00"))] == [0.0]


def test_a_purchase_counts_in_ten_sliding_windows() -> None:
    found = rows("gold.region_revenue_sliding_10m", purchase("ana", "10:00:30"))
    assert [r["window_start"] for r in found] == [
        at(f"{h}:{m:02}") for h, m in [*((9, m) for m in range(51, 60)), (10, 0)]
    ]


def test_sliding_windows_around_a_bound() -> None:
    starts = {r["window_start"] for r in rows("gold.region_revenue_sliding_10m", purchase("ana", "10:00"))}
    assert (min(starts), max(starts)) == (at("9:51"), at("10:00"))


def test_a_sum_that_fits_no_64_bits_is_none_and_its_row_is_there() -> None:
    huge = [purchase("ana", "10:00", "gold", cents=9 * 10**18), purchase("bo", "10:01", "gold", cents=9 * 10**18)]
    mug = purchase("bo", "10:02", "mug", region="süd")
    windows = rows("gold.product_metrics_5m", *huge, mug)
    assert [(r["product_id"], r["revenue_cents"]) for r in windows] == [("gold", None), ("mug", 500)]
    assert [r["events"] for r in windows] == [2, 1]
    assert [r["revenue_cents"] for r in rows("gold.region_revenue_daily", *huge, mug)] == [None, 500]
    assert [r["revenue_cents"] for r in rows("gold.user_totals", *huge, mug)] == [9 * 10**18, 9 * 10**18 + 500]
    assert [r["revenue_cents"] for r in rows("marts.region_daily", *huge, mug)] == [None, 500]


def test_the_greatest_sum_is_one_that_fits_64_bits() -> None:
    most = [purchase("ana", "10:00", cents=2**63 - 2), purchase("ana", "10:01", cents=1)]
    assert [r["revenue_cents"] for r in rows("gold.user_totals", *most)] == [2**63 - 1]
    assert [r["revenue_cents"] for r in rows("gold.user_totals", *most, purchase("ana", "10:02", cents=1))] == [None]


def test_revenue_is_by_utc_date() -> None:
    found = rows("gold.region_revenue_daily", purchase("ana", "23:59:59.999"), purchase("ana", "24:00", cents=1))
    assert [(str(r["event_date"]), r["revenue_cents"]) for r in found] == [("2024-03-01", 500), ("2024-03-02", 1)]


def test_user_totals_know_the_first_and_last_purchase() -> None:
    (row,) = rows("gold.user_totals", purchase("ana", "11:00"), purchase("ana", "09:00"), purchase("ana", "34:00"))
    assert (row["purchases"], row["first_purchase"], row["last_purchase"]) == (3, at("09:00"), at("34:00"))


def test_user_totals_daily_has_a_row_per_day() -> None:
    assert len(rows("gold.user_totals_daily", purchase("ana", "11:00"), purchase("ana", "34:00"))) == 2


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
