"""`silver.products`: a row per version of a product."""

from typing import Final

from lakehouse.contracts.columns import silver_versions
from lakehouse.contracts.events import PRODUCTS
from lakehouse.semantics.scopes import Key, same

CONTRACT: Final = silver_versions(PRODUCTS)

SCOPE: Final = same(None, {PRODUCTS.topic: Key(("product_id",))})
