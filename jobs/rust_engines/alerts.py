"""`gold.alerts`: what is true of the data, drawn by Polars from the tables that say so.

Windows whose click-through rate is anomalous, anomalous sessions, and transactions that are flagged or blocked. What
was said of them at the time is another matter, and stands in ``shop.alerts``.

An alert has the date of the row that it is drawn from. So the days to refresh are those whose files in a source changed
since the version that the last commit names: no scope is pending that a kill could forget.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl
import pyarrow as pa

from jobs.rust_engines import fraud
from jobs.rust_engines.replacement import Replacement
from lakehouse.alerts import CTR_ANOMALY, FRAUD_BLOCKED, FRAUD_FLAGGED
from lakehouse.contracts.graph import sources
from lakehouse.delta import VersionMissingError, open_table, scan
from lakehouse.delta.describe import versions_read
from lakehouse.semantics.metrics.alerts.spec import RULE
from lakehouse.settings import Settings

TABLE: Final = "gold.alerts"
WINDOWS: Final = "gold.product_metrics_5m"
SESSIONS: Final = "silver.sessions"
ANOMALOUS_SESSION: Final = "anomalous_session"
"""True of a session; nobody sends it."""

Rows = Callable[[pl.LazyFrame], pl.LazyFrame]

_COMMON: Final = ("rule", "key", "window_start", "window_end", "event_id", "event_time", "events", "fingerprint")
_NO_EVENT: Final = {"event_id": pl.lit(None, pl.String), "event_time": pl.lit(None, pl.Datetime("us", "UTC"))}


def ctr_anomalies(windows: pl.LazyFrame) -> pl.LazyFrame:
    """Enough impressions, and over half as many clicks."""
    anomalous = (pl.col("impressions") >= RULE.impressions) & (2 * pl.col("clicks") > pl.col("impressions"))
    return windows.filter(anomalous).with_columns(rule=pl.lit(CTR_ANOMALY), key="product_id", **_NO_EVENT)


def anomalous_sessions(sessions: pl.LazyFrame) -> pl.LazyFrame:
    times = {"window_start": "session_start", "window_end": "session_end"}
    return sessions.filter("anomalous").with_columns(
        rule=pl.lit(ANOMALOUS_SESSION), key="user_id", **times, **_NO_EVENT
    )


def frauds(decisions: pl.LazyFrame) -> pl.LazyFrame:
    """An alert each for being flagged and being blocked; its window is the hour, by which people are told."""
    hour = pl.col("event_time").dt.truncate("1h")
    of_user = decisions.with_columns(key="user_id", window_start=hour, window_end=hour + timedelta(hours=1))
    rules = {FRAUD_FLAGGED: "flagged", FRAUD_BLOCKED: "blocked"}
    return pl.concat([of_user.filter(column).with_columns(rule=pl.lit(rule)) for rule, column in rules.items()])


_DRAWN: Final[dict[str, Rows]] = {WINDOWS: ctr_anomalies, SESSIONS: anomalous_sessions, fraud.TABLE: frauds}


@dataclass(frozen=True, slots=True)
class Refresh:
    """One refresh; `replacement` names the versions of its sources that are read."""

    replacement: Replacement

    def run(self) -> int | None:
        """Returns the new version; None where these versions were read already.

        Raises:
            TableMissingError, VersionMissingError, ServiceDownError: as `lakehouse.delta.open_table`.
            CommitRefusedError: the store refused every attempt.
        """
        settings, versions = self.replacement.settings, self.replacement.note.read_versions
        before = versions_read(open_table(settings, TABLE))
        days: set[date] = set()
        for name in sources(TABLE):
            days |= changed_days(settings, name, before.get(name), versions[name])
        if not days:
            return self.replacement.acknowledge(TABLE)
        drawn = [
            _DRAWN[name](
                scan(settings, name, version=versions[name]).filter(pl.col("event_date").is_in(list(days)))
            ).select(*_COMMON, "event_date")
            for name in sources(TABLE)
        ]
        return self.replacement.swap(TABLE, days, pl.concat(drawn).collect(), lambda held: held.clear())[0]


def changed_days(settings: Settings, name: str, since: int | None, until: int) -> set[date]:
    """The dates with other files at version `until` than at `since`; all that it has where `since` is unknown."""
    if since == until:
        return set()
    try:
        before = set() if since is None else _files(settings, name, since)
    except VersionMissingError:
        before = set()
    return {day for _, day in before ^ _files(settings, name, until)}


def _files(settings: Settings, name: str, version: int) -> set[tuple[str, date]]:
    """The data files of a version, with their dates."""
    files = pa.table(open_table(settings, name, version).get_add_actions(flatten=True))
    return set(zip(files["path"].to_pylist(), files["partition.event_date"].to_pylist(), strict=True))
