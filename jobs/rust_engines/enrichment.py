"""Events with what was valid of their product, by Polars."""

from typing import Final

import polars as pl

VERSIONS: Final = "silver.products"
ATTRIBUTES: Final = ("category", "brand", "price_cents", "product_valid_from")


def enriched(events: pl.DataFrame, versions: pl.LazyFrame) -> pl.DataFrame:
    """`events` with the attributes of the product version that was valid when they happened."""
    # A catalogue may have a million products, of which few events are: the others need not be sorted.
    met = versions.join(events.lazy().select("product_id").unique(), "product_id", "semi")
    known = met.select(
        "product_id", "valid_from", "valid_to", "category", "brand", "price_cents", product_valid_from="valid_from"
    )
    found = events.sort("event_time").join_asof(
        known.sort("valid_from").collect(),
        left_on="event_time",
        right_on="valid_from",
        by="product_id",
        check_sortedness=False,  # each side is sorted as a whole, which Polars can't know of its groups
    )
    valid = pl.col("valid_to").is_null() | (pl.col("event_time") < pl.col("valid_to"))
    return found.with_columns(pl.when(valid).then(pl.col(name)) for name in ATTRIBUTES)
