"""Tables, dead letters, Redis and alerts compared with the reference, row for row, once all is drained."""

from lakehouse.compare.accounting import Accounting, TopicAccounting
from lakehouse.compare.comparison import TableComparison
from lakehouse.compare.run import COMPARED, LIVE, SAID, Comparison, UnknownTargetError, compare
from lakehouse.compare.said import Said

__all__ = [
    "COMPARED",
    "LIVE",
    "SAID",
    "Accounting",
    "Comparison",
    "Said",
    "TableComparison",
    "TopicAccounting",
    "UnknownTargetError",
    "compare",
]
