"""Every Kafka record followed into bronze, silver, gold and Redis: what was lost, doubled or altered, and where."""

from lakehouse.ledger.audit import Audit, NothingToAuditError, audit
from lakehouse.ledger.findings import Finding, Kind, Sum
from lakehouse.ledger.routes import ROUTES, Route

__all__ = ["ROUTES", "Audit", "Finding", "Kind", "NothingToAuditError", "Route", "Sum", "audit"]
