"""Each way in which one row can be wrong is found, and none is found where nothing is wrong."""

from typing import Any

import polars as pl
import pytest

from lakehouse.alerts import OPENED, WITHDRAWN, CtrAlert, State, alert_history
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.live import compare_open_alerts
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import table
from lakehouse.semantics import Events
from lakehouse.semantics.metrics.alerts.reference import ctr_anomalies
from lakehouse.semantics.reference import METRICS
from tests.strategies import at, click, impression, product, profile, purchase, transaction

EVENTS = Events.of(
    [
        product("mug", "08:00"),
        product("mug", "12:00"),
        profile("ana", "07:00"),
        profile("bo", "07:00"),
        impression("ana", "10:00"),
        click("ana", "10:01"),
        purchase("ana", "10:02"),
        click("bo", "13:00", "pan", region="süd"),
        click("bo", "37:00", "pan", region="süd"),
        purchase("bo", "37:00", "pan", region="süd"),
        *(transaction("ana", at("10:00") + n, event_id=f"t{n:02d}") for n in range(11)),
    ]
)


def reference(name: str) -> pl.DataFrame:
    return to_frame(table(name), METRICS[name].compute(EVENTS))


def compared(name: str, actual: pl.DataFrame) -> TableComparison:
    return compare_frames(name, 7, reference(name), actual, table(name).key)


@pytest.mark.parametrize("name", METRICS)
def test_the_same_rows_in_another_order_are_equal(name: str) -> None:
    rows = reference(name)
    result = compared(name, rows.reverse())
    assert result == TableComparison(name, 7, rows.height)
    assert result.equal
    assert rows.height >= 2


def test_rows_that_stand_aside_without_a_sum_are_equal_and_named() -> None:
    name, huge = "gold.user_totals", [purchase("midas", "10:00", cents=9 * 10**18) for _ in range(2)]
    rows = to_frame(table(name), METRICS[name].compute(Events.of([*huge, purchase("ana", "10:00")])))
    result = compare_frames(name, 7, rows, rows, ("user_id",), table(name).money_sums)
    assert result.equal
    assert (result.aside, result.aside_named) == (1, ("user_id='midas'",))
    wrapped = rows.with_columns(pl.col("revenue_cents").fill_null(-446744073709551616))
    different = compare_frames(name, 7, rows, wrapped, ("user_id",), table(name).money_sums)
    assert (different.different, different.aside) == (1, 1)
    assert "revenue_cents is -446744073709551616, must be None" in different.examples[0]


@pytest.mark.parametrize("name", METRICS)
def test_a_dropped_row_is_missing(name: str) -> None:
    result = compared(name, reference(name)[1:])
    assert (result.missing, result.unexpected, result.different, result.equal) == (1, 0, 0, False)


@pytest.mark.parametrize("name", METRICS)
def test_a_doubled_row_is_unexpected(name: str) -> None:
    rows = reference(name)
    result = compared(name, pl.concat([rows, rows[:1]]))
    assert (result.missing, result.unexpected, result.different, result.equal) == (0, 1, 0, False)
    assert result.rows_compared == rows.height


def altered(value: Any, dtype: pl.DataType) -> Any:
    """A value of the type that is as like as can be and not the same."""
    if value is None:
        return pl.lit("") if dtype == pl.String else pl.lit(0, pl.Int64).cast(dtype)
    if dtype == pl.Boolean:
        return pl.lit(not value)
    if dtype == pl.String:
        return pl.lit(value + " ")
    if dtype == pl.Float64:
        return pl.lit(value + 2**-40)
    if dtype.is_temporal():
        return (pl.lit(value, dtype).cast(pl.Int64) + 1).cast(dtype)
    return pl.lit(int(value) + 1).cast(dtype)


def every_value() -> list[tuple[str, str]]:
    return [(name, c) for name in METRICS for c in table(name).compared_columns if c not in table(name).key]


@pytest.mark.parametrize(("name", "column"), every_value())
def test_one_altered_value_makes_one_row_different(name: str, column: str) -> None:
    rows = reference(name)
    other = altered(rows[column][0], rows.schema[column])
    first = pl.int_range(pl.len()) == 0
    result = compared(name, rows.with_columns(pl.when(first).then(other).otherwise(pl.col(column)).alias(column)))
    assert (result.missing, result.unexpected, result.different, result.equal) == (0, 0, 1, False)
    assert f"{column} is " in result.examples[0]


def test_null_is_no_value() -> None:
    rows = reference("silver.products")
    result = compared("silver.products", rows.with_columns(valid_to=pl.lit(None, rows.schema["valid_to"])))
    assert result.different == 1


def test_nothing_compared_is_not_equal() -> None:
    nothing = reference("gold.user_totals").clear()
    assert not compare_frames("gold.user_totals", 0, nothing, nothing, ("user_id",)).equal


def test_other_types_are_refused() -> None:
    rows = reference("gold.user_totals")
    with pytest.raises(TypeError, match="purchases: Int32 for Int64"):
        compared("gold.user_totals", rows.with_columns(pl.col("purchases").cast(pl.Int32)))


def test_fingerprints_of_many_records_exceed_64_bits_and_stay_exact() -> None:
    name = "gold.user_totals"
    rows = list(METRICS[name].compute(EVENTS))
    rows[0]["fingerprint"] = 2**79 + 1
    frame = to_frame(table(name), rows)
    assert int(frame["fingerprint"][0]) == 2**79 + 1
    rows[0]["fingerprint"] -= 1
    assert compare_frames(name, 0, frame, to_frame(table(name), rows), ("user_id",)).different == 1


ANOMALOUS = [impression("ana", "10:00") for _ in range(20)] + [click("bo", "10:01") for _ in range(11)]


def alert(events: int, state: State, product_id: str = "mug", start: str = "10:00") -> CtrAlert:
    key = f"ctr_anomaly/{at(start)}/{product_id}/{state}/{events}"
    return CtrAlert("ctr_anomaly", product_id, at(start), at(start) + 300_000, state, 20, 11, events, key)


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([alert(0, "opened")], (1, 0, 0)),
        ([alert(0, "opened"), alert(1, "withdrawn"), alert(2, "opened")], (1, 0, 0)),
        ([alert(0, "opened"), alert(1, "withdrawn")], (0, 1, 0)),
        ([], (0, 1, 0)),
        ([alert(0, "opened"), alert(1, "opened", "pan")], (1, 0, 1)),
        ([alert(0, "opened", start="10:05")], (0, 1, 1)),
    ],
)
def test_the_last_state_of_an_alert_is_compared(alerts: list[CtrAlert], expected: tuple[int, int, int]) -> None:
    result = compare_open_alerts(ctr_anomalies(Events.of(ANOMALOUS)), alert_history(alerts).open)
    assert (result.rows_compared, result.missing, result.unexpected) == expected


def test_a_turn_that_was_sent_again_counts_once() -> None:
    """As a restore sends them: from the oldest that no checkpoint had seen leave."""
    turns = [alert(31, "opened"), alert(32, "withdrawn")]
    history = alert_history([*turns, *turns, alert(35, "opened")])
    assert (history.turns[OPENED], history.turns[WITHDRAWN]) == (2, 1)
    assert [open_alert.events for open_alert in history.open] == [35]
