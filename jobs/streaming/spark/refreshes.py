"""All refreshes of one pass: from the silver events whose rows are to be refreshed to every table made of them."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import polars as pl
from pyspark.sql import DataFrame

from jobs.rust_engines import alerts, fraud, revenue, transactions
from jobs.streaming.spark import refresh
from jobs.streaming.spark.delta_tables import CONFLICTS, DeltaTables
from jobs.streaming.spark.progress import Journal
from lakehouse.contracts.graph import EVENT_TABLES, sources
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.delta.notes import Caused

T = TypeVar("T")
log = logging.getLogger(SPARK_INGEST)

THREADS: Final = 3
"""Steps of one stage run side by side: most of a small commit is waiting for the store."""

ATTEMPTS: Final = 5
"""How often a step is done before a table that others keep changing fails the pass."""

CORRECTED: Final = " corrected"


@dataclass(frozen=True, slots=True)
class Refreshes:
    """`note`: what the commits say of themselves beside the versions that they read."""

    tables: DeltaTables
    journal: Journal
    note: Caused

    def run(self, clicks: DataFrame, purchases: DataFrame, paid: pl.DataFrame) -> None:
        """Refreshes what the clicks, purchases and transactions (`paid`, columns `fraud.TOUCHED`) affect."""
        cycle = refresh.Cycle(
            self.tables,
            {name: self.tables.version(name) for name in EVENT_TABLES},
            clicks,
            purchases,
            self.note,
        )

        def refresh_sessions() -> None:
            for name, version in refresh.refresh_sessions(cycle).items():
                self.journal.wrote(name, version)

        def refresh_revenue() -> None:
            for name, version in revenue.Refresh(
                cycle.touched_purchases(),
                cycle.versions[refresh.PURCHASES],
                cycle.replacement("revenue", refresh.PURCHASES),
            ).run():
                self.journal.wrote(name, version)

        def refresh_fraud() -> int | None:
            version = cycle.versions[transactions.TABLE]
            return fraud.Refresh(paid, version, cycle.replacement("fraud", transactions.TABLE)).run()

        def refresh_alerts() -> int | None:
            read = sources(alerts.TABLE)
            drawn_from = replace(cycle, versions={name: self.tables.version(name) for name in read})
            return alerts.Refresh(drawn_from.replacement("alerts", *read)).run()

        together(
            self.journal,
            ("silver.sessions", refresh_sessions),
            (refresh.PRODUCT_METRICS, lambda: refresh.refresh_windows(cycle, refresh.PRODUCT_METRICS)),
            ("silver.purchase_clicks", lambda: refresh.refresh_purchase_clicks(cycle)),
            ("revenue and totals", refresh_revenue),
            (fraud.TABLE, refresh_fraud),
        )
        together(self.journal, (alerts.TABLE, refresh_alerts))


def together(journal: Journal, *steps: tuple[str, Callable[[], int | None]]) -> None:
    """Runs steps that touch different tables side by side; the first error is raised once all have ended."""

    def timed(name: str, step: Callable[[], int | None]) -> None:
        with journal.step(name):
            journal.wrote(name.removesuffix(CORRECTED), computed_anew(step))

    with ThreadPoolExecutor(THREADS) as pool:
        _raise_first(pool.map(lambda step: timed(*step), steps))


def computed_anew(step: Callable[[], T]) -> T:
    """Does a step, and does it again where maintenance (a compaction, a new column) has committed in between.

    The step reads its tables anew and computes from them, so nothing outdated is committed; one that had taken effect
    finds so, as after a kill.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return step()
        except CONFLICTS as conflict:
            log.info("computing anew: %s", str(conflict).splitlines()[0])
    return step()


def _raise_first(results: Iterable[None]) -> None:
    for _ in results:
        pass
