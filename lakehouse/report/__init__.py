"""What a demo run found, as data, and its rendering as a page to look at and a file to parse."""

from lakehouse.report.result import (
    AlertCount,
    Demand,
    DemoResult,
    Enrichment,
    Freshness,
    Link,
    MicroBatch,
    Step,
    TableResult,
    TopicAccount,
)

__all__ = [
    "AlertCount",
    "Demand",
    "DemoResult",
    "Enrichment",
    "Freshness",
    "Link",
    "MicroBatch",
    "Step",
    "TableResult",
    "TopicAccount",
]
