"""Each metric in Spark's own SQL, one per file; `windowed.Metric` says what such a file declares."""

from typing import Final

from jobs.streaming.spark.metrics import (
    product_metrics_5m,
    region_revenue_5m,
    region_revenue_daily,
    region_revenue_sliding_10m,
    user_totals,
    user_totals_daily,
)

METRICS: Final = {
    module.METRIC.table: module.METRIC
    for module in (
        product_metrics_5m,
        region_revenue_5m,
        region_revenue_daily,
        user_totals_daily,
        user_totals,
        region_revenue_sliding_10m,
    )
}
"""By table, a finer one before what rolls it up. The stream refreshes the first; for the others, which are small, it
has Polars (`jobs.rust_engines.revenue`), and a rebuild has these."""
