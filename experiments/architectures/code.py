"""How much code each architecture takes, and where one meaning is written more than once: by listed files."""

from collections.abc import Mapping
from typing import Final

from lakehouse.settings import ROOT

_METRICS: Final = "lakehouse/semantics/metrics"
SHARED: Final = (
    "jobs/streaming/spark/ingest.py",
    "jobs/streaming/spark/micro_batch.py",
    "jobs/streaming/spark/query.py",
    "jobs/streaming/spark/delta_tables.py",
    f"{_METRICS}/product_metrics_5m/refresh.sql",
    f"{_METRICS}/session_parts/refresh.sql",
    f"{_METRICS}/sessions/refresh.sql",
)
"""Bronze, and the SQL that Kappa's stream and Lambda's batch layer have in common."""
FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "kappa": (
        "jobs/streaming/spark/events.py",
        "jobs/streaming/spark/refresh.py",
        "jobs/streaming/spark/refreshes.py",
        "jobs/streaming/spark/metrics/sessions.py",
        "jobs/rust_engines/revenue.py",
        "jobs/rust_engines/replacement.py",
        f"{_METRICS}/region_revenue_5m/refresh.sql",
        f"{_METRICS}/region_revenue_daily/refresh.sql",
        "jobs/batch/rebuild.py",
    ),
    "lambda": (
        "lakehouse/lambda_layers.py",
        "jobs/batch/lambda_batch.py",
        f"{_METRICS}/region_revenue_5m/refresh.sql",
        f"{_METRICS}/region_revenue_daily/refresh.sql",
        "jobs/streaming/lambda_speed/main.py",
        "jobs/streaming/lambda_speed/seed.py",
        "jobs/streaming/lambda_speed/views.py",
        "jobs/rust_engines/lambda_serving.py",
    ),
}
"""Beside `SHARED`, whole files: Kappa's make further tables too, which none of Lambda's do."""
PLACES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "product_metrics_5m": {
        "kappa": (f"{_METRICS}/product_metrics_5m/refresh.sql",),
        "lambda": (
            f"{_METRICS}/product_metrics_5m/refresh.sql",
            "jobs/streaming/lambda_speed/views.py",
            "jobs/rust_engines/lambda_serving.py",
        ),
    },
    "region_revenue_daily": {
        "kappa": ("jobs/rust_engines/revenue.py", f"{_METRICS}/region_revenue_daily/refresh.sql"),
        "lambda": (
            f"{_METRICS}/region_revenue_daily/refresh.sql",
            "jobs/streaming/lambda_speed/views.py",
            "jobs/rust_engines/lambda_serving.py",
        ),
    },
    "sessions": {
        "kappa": (f"{_METRICS}/session_parts/refresh.sql", f"{_METRICS}/sessions/refresh.sql"),
        "lambda": (
            f"{_METRICS}/session_parts/refresh.sql",
            f"{_METRICS}/sessions/refresh.sql",
            "jobs/streaming/lambda_speed/views.py",
            "jobs/rust_engines/lambda_serving.py",
        ),
    },
    "which record of an event counts": {
        "kappa": ("jobs/streaming/spark/events.py",),
        "lambda": ("jobs/streaming/spark/events.py", "jobs/streaming/lambda_speed/views.py"),
    },
}
"""By metric and architecture, the files that a change of its meaning must touch."""


def lines(files: tuple[str, ...]) -> int:
    """Lines that are neither blank nor comments, of all files."""
    written = (line.strip() for name in files for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return sum(1 for line in written if line and not line.startswith(("#", "--")))
