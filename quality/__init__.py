"""Expectations of the tables: generated from contracts, extended by hand, checked by `run_quality`."""

from quality.checkpoint import QualityFailedError, QualityResult, TableQuality, checked_tables, run_quality

__all__ = ["QualityFailedError", "QualityResult", "TableQuality", "checked_tables", "run_quality"]
