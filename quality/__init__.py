"""Expectations of the tables: generated from contracts, extended by hand, checked by `run_quality`."""

from quality.alert import last_failed
from quality.checkpoint import run_quality
from quality.result import QualityFailedError, QualityResult, TableQuality

__all__ = ["QualityFailedError", "QualityResult", "TableQuality", "last_failed", "run_quality"]
