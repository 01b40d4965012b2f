"""Silver events: de-duplicated, with the product version valid at event time (docs/semantics.md, Versions); of
transactions, which name no product, without."""

from collections.abc import Iterable, Iterator
from typing import Any

from lakehouse.semantics.events import Click, Events, Purchase
from lakehouse.semantics.reference.versions import Catalog
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]

VERSION_COLUMNS = ("category", "brand", "price_cents", "product_valid_from")


def _enrich(events: Iterable[Click] | Iterable[Purchase], catalog: Catalog) -> Iterator[Row]:
    for event in events:
        row = event._asdict()
        version = catalog.at(event.product_id, event.event_time)
        if version is None:
            row["category"] = row["brand"] = row["price_cents"] = row["product_valid_from"] = None
        else:
            row["category"] = version.category
            row["brand"] = version.brand
            row["price_cents"] = version.price_cents
            row["product_valid_from"] = version.valid_from
        row["event_date"] = utc_date(event.event_time)
        yield row


def clicks(events: Events) -> Iterator[Row]:
    """`silver.clicks`; before a product's first version the attributes are null."""
    return _enrich(events.clicks, Catalog(events.products))


def purchases(events: Events) -> Iterator[Row]:
    """`silver.purchases`, as for clicks."""
    return _enrich(events.purchases, Catalog(events.products))


def transactions(events: Events) -> Iterator[Row]:
    """`silver.transactions`."""
    for transaction in events.transactions:
        yield transaction._asdict() | {"event_date": utc_date(transaction.event_time)}
