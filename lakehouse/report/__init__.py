"""What a demo run found, as data, and its rendering as a page to look at and a file to parse."""

from lakehouse.report.result import (
    AlertCount,
    Demand,
    DemoResult,
    Enrichment,
    Figure,
    Freshness,
    Ledger,
    LedgerRows,
    Link,
    MicroBatch,
    Step,
    TableResult,
    TopicAccount,
)
from lakehouse.report.write import render_report, write_report

__all__ = [
    "AlertCount",
    "Demand",
    "DemoResult",
    "Enrichment",
    "Figure",
    "Freshness",
    "Ledger",
    "LedgerRows",
    "Link",
    "MicroBatch",
    "Step",
    "TableResult",
    "TopicAccount",
    "render_report",
    "write_report",
]
