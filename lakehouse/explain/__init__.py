"""From a silver, gold or mart row back to the Kafka records behind it, and to the commit that last changed it."""

from lakehouse.explain.behind import EXPLAINED, NotExplainedError
from lakehouse.explain.explanation import Explanation, Status
from lakehouse.explain.keys import BadKeyError, NoSuchRowError
from lakehouse.explain.run import explain

__all__ = ["EXPLAINED", "BadKeyError", "Explanation", "NoSuchRowError", "NotExplainedError", "Status", "explain"]
