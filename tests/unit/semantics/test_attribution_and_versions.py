from lakehouse.semantics import Events
from lakehouse.semantics.reference import METRICS
from tests.strategies import click, purchase


def test_an_unattributed_purchase_stays() -> None:
    bought = purchase("ana", "10:05")
    (row,) = METRICS["silver.purchase_clicks"].compute(Events.of([bought]))
    assert (row["events"], row["fingerprint"], row["click_event_time"]) == (1, bought.record_hash, None)


def test_an_attributed_purchase_sums_both_fingerprints() -> None:
    clicked, bought = click("ana", "10:04"), purchase("ana", "10:05")
    (row,) = METRICS["silver.purchase_clicks"].compute(Events.of([clicked, bought]))
    assert (row["events"], row["fingerprint"]) == (2, clicked.record_hash + bought.record_hash)
