"""Tables, dead letters, Redis and alerts compared with the reference, row for row, once all is drained."""

from lakehouse.compare.accounting import Accounting, TopicAccounting
from lakehouse.compare.comparison import TableComparison
from lakehouse.compare.run import COMPARED, LIVE, Comparison, UnknownTargetError, compare

__all__ = [
    "COMPARED",
    "LIVE",
    "Accounting",
    "Comparison",
    "TableComparison",
    "TopicAccounting",
    "UnknownTargetError",
    "compare",
]
