"""Lambda's serving layer: views by DataFusion that merge the batch layer's rows with the speed layer's.

A window or day is the sum of both. A session of the speed layer stands for every one of the batch layer that it
reaches over, since it has absorbed them.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from lakehouse.checked_sums import written_out
from lakehouse.contracts.arrow import arrow_schema
from lakehouse.contracts.tables import LAMBDA_METRICS, table
from lakehouse.lambda_layers import batch_table, open_layers
from lakehouse.settings import Settings

_SUMMED: Final = """
SELECT {keys}, {sums}, CAST(sum(u.fingerprint) AS DECIMAL(38, 0)) AS fingerprint{rates}
FROM (SELECT {columns} FROM batch UNION ALL SELECT {columns} FROM speed) u
GROUP BY {keys}
HAVING sum(u.events) > 0
"""


def _summed(metric: str, keys: tuple[str, ...], values: tuple[str, ...], rates: Mapping[str, str]) -> str:
    """The sum of both layers; a row without an event left does not exist."""
    money = table(LAMBDA_METRICS[metric]).money_sums
    sums = (f"{'checked_sum' if value in money else 'sum'}(u.{value}) AS {value}" for value in values)
    summed = _SUMMED.format(
        keys=", ".join(keys),
        columns=", ".join((*keys, *values, "fingerprint")),
        sums=", ".join(sums),
        rates="".join(f", {expression} AS {name}" for name, expression in rates.items()),
    )
    return written_out(summed)


VIEWS: Final = {
    "product_metrics_5m": _summed(
        "product_metrics_5m",
        ("product_id", "window_start", "window_end", "event_date"),
        ("impressions", "clicks", "conversions", "revenue_cents", "events"),
        {
            "ctr": "CASE WHEN sum(u.impressions) > 0"
            " THEN CAST(sum(u.clicks) AS DOUBLE) / CAST(sum(u.impressions) AS DOUBLE) END"
        },
    ),
    "region_revenue_daily": _summed(
        "region_revenue_daily", ("region", "event_date"), ("purchases", "revenue_cents", "events"), {}
    ),
    "sessions": """
SELECT b.* FROM batch b
WHERE NOT EXISTS (
    SELECT 1 FROM speed s
    WHERE s.user_id = b.user_id AND b.session_start >= s.session_start AND b.session_start <= s.session_end
)
UNION ALL
SELECT * FROM speed
""",
}
"""By metric, over the tables ``batch`` and ``speed``."""


def merged(metric: str, batch: DeltaTable, speed: DeltaTable | None) -> pl.DataFrame:
    """The rows of the view, with the columns of the batch layer's table, in no particular order."""
    schema = arrow_schema(table(batch_table(metric)))
    engine = QueryBuilder().register("batch", batch)
    query = "SELECT * FROM batch" if speed is None else VIEWS[metric]
    if speed is not None:
        engine = engine.register("speed", speed)
    rows = pa.table(engine.execute(query).read_all())
    return pl.DataFrame(rows.select(schema.names).cast(schema))


def serving(settings: Settings, metric: str) -> pl.DataFrame:
    """The view as the newest commits have it. Raises what `lakehouse.lambda_layers.open_layers` raises."""
    layers = open_layers(settings, metric)
    return merged(metric, layers.batch, layers.speed)
