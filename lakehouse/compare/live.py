"""The live values in Redis and the alerts in Kafka, as the reference has them."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from lakehouse.alerts import CtrAlert, alert_history
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.reference import Reference
from lakehouse.compare.sent import alerts_sent
from lakehouse.contracts.columns import TableContract
from lakehouse.contracts.frames import to_frame
from lakehouse.contracts.tables import table
from lakehouse.kafka.topics import ALERTS
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValues
from lakehouse.semantics.reference import Row
from lakehouse.settings import Settings

REDIS_PRODUCTS: Final = f"redis.{PRODUCT_METRICS}"
REDIS_SESSIONS: Final = f"redis.{CURRENT_SESSIONS}"

_ALERT_KEY: Final = ("product_id", "window_start", "window_end")
_ALERT_SCHEMA: Final = {"product_id": pl.String(), "window_start": pl.Int64(), "window_end": pl.Int64()}


def compare_redis(settings: Settings, reference: Reference, name: str) -> TableComparison:
    """The values of `REDIS_PRODUCTS` or `REDIS_SESSIONS`, every field of them.

    Raises:
        ServiceDownError: Redis does not answer.
    """
    values = LiveValues(settings)
    try:
        if name == REDIS_PRODUCTS:
            contract, expected, live = table("gold.product_metrics_5m"), reference.rows, PRODUCT_METRICS
            return _compare(name, contract, expected(contract.name), values.rows(live), contract.key)
        contract = table("silver.sessions")
        return _compare(name, contract, reference.current_sessions(), values.rows(CURRENT_SESSIONS), ("user_id",))
    finally:
        values.close()


def _compare(
    name: str, contract: TableContract, expected: Iterable[Row], actual: Iterable[Row], key: tuple[str, ...]
) -> TableComparison:
    frames = to_frame(contract, expected), to_frame(contract, actual)
    return compare_frames(name, None, *frames, key, contract.money_sums)


def compare_alerts(settings: Settings, reference: Reference) -> TableComparison:
    """The alerts that are open, by product and window.

    The counts in an alert are those of the moment at which it opened, so they are not compared.
    """
    history = alert_history(alerts_sent(settings))
    return compare_open_alerts(reference.anomalies(), history.open)


def compare_open_alerts(anomalies: Iterable[Row], alerts: Iterable[CtrAlert]) -> TableComparison:
    """See `compare_alerts`."""
    expected = pl.DataFrame([{name: row[name] for name in _ALERT_KEY} for row in anomalies], schema=_ALERT_SCHEMA)
    actual = pl.DataFrame([{n: getattr(alert, n) for n in _ALERT_KEY} for alert in alerts], schema=_ALERT_SCHEMA)
    return compare_frames(ALERTS, None, expected, actual, _ALERT_KEY)
