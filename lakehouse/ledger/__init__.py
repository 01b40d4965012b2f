"""Every Kafka record followed into bronze, silver, gold and Redis: what was lost, doubled or altered, and where."""

from lakehouse.ledger.audit import Audit, NothingToAuditError, audit
from lakehouse.ledger.derived import DERIVED, Derived
from lakehouse.ledger.findings import Account, Finding, Kind, Sum
from lakehouse.ledger.routes import ROUTES, VARIANTS, Route

__all__ = [
    "DERIVED",
    "ROUTES",
    "VARIANTS",
    "Account",
    "Audit",
    "Derived",
    "Finding",
    "Kind",
    "NothingToAuditError",
    "Route",
    "Sum",
    "audit",
]
