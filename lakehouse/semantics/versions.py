"""Versions of products and profiles, and events with them (docs/semantics.md, Versions)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from lakehouse.semantics.events import Click, ProductVersion, ProfileVersion, Purchase, key_of
from lakehouse.semantics.windows import utc_date

Row = dict[str, Any]
V = TypeVar("V", bound=ProductVersion | ProfileVersion)


def effective(versions: Iterable[V]) -> dict[str, list[V]]:
    """Each key's versions by `valid_from`; of two with one `valid_from` the higher (partition, offset) wins."""
    by_key: dict[str, dict[int, V]] = {}
    for version in versions:
        known = by_key.setdefault(key_of(version), {})
        rival = known.get(version.valid_from)
        if rival is None or (version.partition, version.offset) > (rival.partition, rival.offset):
            known[version.valid_from] = version
    return {key: [found[t] for t in sorted(found)] for key, found in by_key.items()}


def scd2(versions: Iterable[V]) -> Iterator[Row]:
    """One row per version: valid until the next one's `valid_from`, the latest openly (null)."""
    for ordered in effective(versions).values():
        ends = [*(successor.valid_from for successor in ordered[1:]), None]
        for version, valid_to in zip(ordered, ends, strict=True):
            yield version._asdict() | {"valid_to": valid_to}


class Catalog:
    """Finds the product version valid at a time: valid_from <= t < valid_to."""

    __slots__ = ("_starts", "_versions")

    def __init__(self, versions: Iterable[ProductVersion]) -> None:
        self._versions = effective(versions)
        self._starts = {key: [v.valid_from for v in known] for key, known in self._versions.items()}

    def at(self, product_id: str | None, time_ms: int) -> ProductVersion | None:
        """None before the first version, for an unknown product and for a page without a product."""
        starts = self._starts.get(product_id) if product_id is not None else None
        if starts is None or product_id is None:
            return None
        index = bisect_right(starts, time_ms)
        return self._versions[product_id][index - 1] if index else None


def enriched(events: Iterable[Click] | Iterable[Purchase], catalog: Catalog) -> Iterator[Row]:
    """Rows of silver; before a product's first version the attributes are null."""
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
