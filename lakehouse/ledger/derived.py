"""What each table that is made of events must add up to: `events`, `fingerprint`, and the columns that are sums.

A table is declared by what each event gives to it. The sum over a table's rows equals the sum over what the events
give: once, or for the sliding windows ten times.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

import polars as pl

from lakehouse.alerts import CTR_ANOMALY, FRAUD_BLOCKED, FRAUD_FLAGGED
from lakehouse.contracts.graph import counted, events_behind
from lakehouse.contracts.tables import table
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS
from lakehouse.semantics.metrics.alerts.spec import RULE as ANOMALY
from lakehouse.semantics.metrics.region_revenue_sliding_10m.spec import RULE as SLIDING
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION

CLICKS: Final = "silver.clicks"
PURCHASES: Final = "silver.purchases"
PRODUCT_5M: Final = "gold.product_metrics_5m"
TRANSACTIONS: Final = "silver.transactions"
SESSIONS: Final = "silver.sessions"
PURCHASE_CLICKS: Final = "silver.purchase_clicks"
DECISIONS: Final = "gold.fraud_decisions"
REDIS_PRODUCTS: Final = f"redis.{PRODUCT_METRICS}"
REDIS_SESSIONS: Final = f"redis.{CURRENT_SESSIONS}"

Frames: TypeAlias = Mapping[str, pl.LazyFrame]
"""By table; the derived table's own rows are among them."""

_ONE: Final = pl.lit(1, pl.Int64)
_GIVEN: Final = (_ONE.alias("events"), pl.col("record_hash").cast(pl.Int128).alias("fingerprint"))


@dataclass(frozen=True, slots=True)
class Derived:
    """A table (or `redis.*`) and what events of `sources` give to its rows.

    `gives`: one row per event and row that it counts in: `bucket`, what `key` is made of, `measures`, `events` and
    `fingerprint`; `keyed` adds what else belongs to the key. Sums are compared by `bucket`; where one differs, by key.
    `measures`: the table's columns that are sums. Its other columns are `lakehouse compare`'s matter.
    """

    name: str
    sources: tuple[str, ...]
    gives: Callable[[Frames], pl.LazyFrame]
    key: tuple[str, ...]
    measures: tuple[str, ...]
    bucket: str = "event_date"
    keyed: Callable[[pl.LazyFrame], pl.LazyFrame] = lambda given: given

    @property
    def live(self) -> bool:
        return self.name.startswith("redis.")

    @property
    def money(self) -> tuple[str, ...]:
        """The measures that are null in a row whose sum doesn't fit."""
        contract = table(PRODUCT_5M if self.name == REDIS_PRODUCTS else SESSIONS if self.live else self.name)
        return contract.money_sums

    @property
    def summed(self) -> tuple[str, ...]:
        return ("events", "fingerprint", *self.measures)


def _counted(condition: pl.Expr) -> pl.Expr:
    return condition.cast(pl.Int64)


def _clicks(clicks: pl.LazyFrame) -> pl.LazyFrame:
    return clicks.select(
        "user_id",
        "product_id",
        "region",
        "event_time",
        "event_date",
        *_GIVEN,
        impressions=_counted(pl.col("action") == "impression"),
        clicks=_counted(pl.col("action") == "click"),
    )


def _purchases(purchases: pl.LazyFrame) -> pl.LazyFrame:
    return purchases.select(
        "user_id",
        "product_id",
        "region",
        "event_time",
        "event_date",
        *_GIVEN,
        purchases=_ONE,
        revenue_cents=pl.col("amount_cents"),
    )


def _together(given: list[pl.LazyFrame], *measures: str) -> pl.LazyFrame:
    """What each gives; to a measure that it doesn't have, nothing. (A null would be a sum that doesn't fit.)"""
    return pl.concat(given, how="diagonal").with_columns(pl.col(*measures).fill_null(0))


def _with_product(frames: Frames) -> pl.LazyFrame:
    clicks = _clicks(frames[CLICKS]).filter(pl.col("product_id").is_not_null())
    purchases = _purchases(frames[PURCHASES]).rename({"purchases": "conversions"})
    return _together([clicks, purchases], *_PRODUCT)


def _with_region(frames: Frames) -> pl.LazyFrame:
    return _together([_clicks(frames[CLICKS]), _purchases(frames[PURCHASES])], *_REVENUE, *_CLICKS)


def _bought(frames: Frames) -> pl.LazyFrame:
    return _purchases(frames[PURCHASES])


def _sliding(frames: Frames) -> pl.LazyFrame:
    latest = pl.col("event_time").dt.truncate(timedelta(milliseconds=SLIDING.every_ms))
    starts = [latest - timedelta(milliseconds=back) for back in range(0, SLIDING.size_ms, SLIDING.every_ms)]
    windows = _bought(frames).with_columns(window_start=pl.concat_list(starts)).explode("window_start")
    return windows.with_columns(event_date=pl.col("window_start").dt.date())


def _clicked(frames: Frames) -> pl.LazyFrame:
    return _clicks(frames[CLICKS])


def _attributed(frames: Frames) -> pl.LazyFrame:
    """Each purchase, and the click that its row names: whether it is the right one, `lakehouse compare` says."""
    key = ("user_id", "event_id", "event_time", "event_date")
    purchases = frames[PURCHASES].select(*key, *_GIVEN, "quantity", "amount_cents")
    click = {"click_event_id": "event_id", "click_event_time": "event_time"}
    rows = frames[PURCHASE_CLICKS].select(*key, *click).unique().filter(pl.col("click_event_id").is_not_null())
    clicks = frames[CLICKS].select("user_id", *_GIVEN, **{name: pl.col(c) for name, c in click.items()})
    return _together([purchases, rows.join(clicks, on=["user_id", *click]).drop(*click)], "quantity", "amount_cents")


def _current(frames: Frames) -> pl.LazyFrame:
    """The clicks from the start of each user's current session on; all of a user who has none."""
    sessions = frames[REDIS_SESSIONS].select("user_id", "session_start").unique("user_id")
    began = pl.col("session_start").is_null() | (pl.col("event_time") >= pl.col("session_start"))
    return _clicks(frames[CLICKS]).join(sessions, on="user_id", how="left").filter(began)


def _decided(frames: Frames) -> pl.LazyFrame:
    columns = ("user_id", "event_id", "event_time", "event_date", "amount_cents")
    return frames[TRANSACTIONS].select(*columns, *_GIVEN)


def _alerts(frames: Frames) -> pl.LazyFrame:
    """The rows that an alert is drawn from, whole."""
    clicks, impressions = pl.col("clicks"), pl.col("impressions")
    of_event = ("event_id", "event_time")
    of_window = {"event_id": pl.lit(None, pl.String), "event_time": pl.lit(None, pl.Datetime("us", "UTC"))}
    windows = frames[PRODUCT_5M].filter((impressions >= ANOMALY.impressions) & (2 * clicks > impressions))
    sessions = frames[SESSIONS].filter("anomalous").with_columns(window_start="session_start")
    decisions = frames[DECISIONS].with_columns(window_start=pl.col("event_time").dt.truncate("1h"))
    drawn = [
        windows.with_columns(rule=pl.lit(CTR_ANOMALY), key="product_id", **of_window),
        sessions.with_columns(rule=pl.lit("anomalous_session"), key="user_id", **of_window),
        decisions.filter("flagged").with_columns(rule=pl.lit(FRAUD_FLAGGED), key="user_id"),
        decisions.filter("blocked").with_columns(rule=pl.lit(FRAUD_BLOCKED), key="user_id"),
    ]
    common = ("rule", "key", "window_start", *of_event, "event_date", "events")
    return pl.concat([rows.select(*common, pl.col("fingerprint").cast(pl.Int128)) for rows in drawn])


def _windowed(given: pl.LazyFrame) -> pl.LazyFrame:
    return given.with_columns(window_start=pl.col("event_time").dt.truncate("5m"))


def _in_sessions(given: pl.LazyFrame) -> pl.LazyFrame:
    ordered = given.sort("user_id", "event_time")
    apart = pl.col("event_time").diff() >= timedelta(milliseconds=SESSION.gap_ms)
    numbered = ordered.with_columns(session=apart.fill_null(True).cum_sum().over("user_id"))
    return numbered.with_columns(session_start=pl.col("event_time").min().over("user_id", "session"))


def _in_parts(given: pl.LazyFrame) -> pl.LazyFrame:
    since = (pl.col("event_time") - pl.col("session_start")).dt.total_milliseconds()
    return _in_sessions(given).with_columns(part=(since // SESSION.part_ms).cast(pl.Int32))


def _mart_of_products(frames: Frames) -> pl.LazyFrame:
    return frames[PRODUCT_5M].with_columns(pl.col("fingerprint").cast(pl.Int128))


def _funnel(frames: Frames) -> pl.LazyFrame:
    """Each session, and each purchase inside one, on the session's day."""
    sessions = frames[SESSIONS].select(
        "user_id", "session_start", "session_end", "event_date", "clicks", "events", "fingerprint"
    )
    purchases = frames[PURCHASES].select("user_id", "event_time", *_GIVEN, revenue_cents="amount_cents")
    inside = (
        sessions.select("user_id", "session_start", "session_end", "event_date")
        .join(purchases, on="user_id")
        .filter(pl.col("event_time").is_between("session_start", "session_end"))
    )
    given = [
        sessions.with_columns(
            pl.col("fingerprint").cast(pl.Int128), sessions=_ONE, sessions_with_click=_counted(pl.col("clicks") > 0)
        ),
        inside.select("user_id", "session_start", "event_date", sessions_with_purchase=_ONE).unique(),
        inside,
    ]
    return _together(given, *_FUNNEL, "events", "fingerprint")


_FUNNEL: Final = ("sessions", "sessions_with_click", "sessions_with_purchase", "revenue_cents")
_PRODUCT: Final = ("impressions", "clicks", "conversions", "revenue_cents")
_REVENUE: Final = ("purchases", "revenue_cents")
_CLICKS: Final = ("impressions", "clicks")


def _of_events(
    name: str,
    gives: Callable[[Frames], pl.LazyFrame],
    measures: tuple[str, ...],
    bucket: str = "event_date",
    keyed: Callable[[pl.LazyFrame], pl.LazyFrame] = lambda given: given,
) -> Derived:
    """A table that is held against the events behind it, be it by way of another."""
    return Derived(name, events_behind(name), gives, table(name).key, measures, bucket, keyed)


def _of_rows(name: str, gives: Callable[[Frames], pl.LazyFrame], measures: tuple[str, ...]) -> Derived:
    """A table that is held against the rows that it is drawn from."""
    return Derived(name, counted(name), gives, table(name).key, measures)


DERIVED: Final = {
    d.name: d
    for d in (
        _of_events(SESSIONS, _clicked, _CLICKS, "user_id", _in_sessions),
        _of_events("silver.session_parts", _clicked, _CLICKS, "user_id", _in_parts),
        _of_events(PURCHASE_CLICKS, _attributed, ("quantity", "amount_cents")),
        _of_events(PRODUCT_5M, _with_product, _PRODUCT, keyed=_windowed),
        _of_events("gold.region_revenue_5m", _bought, _REVENUE, keyed=_windowed),
        _of_events("gold.region_revenue_daily", _bought, _REVENUE),
        _of_events("gold.region_revenue_sliding_10m", _sliding, _REVENUE),
        _of_events("gold.user_totals_daily", _bought, _REVENUE),
        _of_events("gold.user_totals", _bought, _REVENUE, "user_id"),
        _of_events(DECISIONS, _decided, ("amount_cents",)),
        _of_rows("gold.alerts", _alerts, ()),
        _of_rows("marts.product_daily", _mart_of_products, _PRODUCT),
        _of_rows("marts.region_daily", _with_region, (*_REVENUE, *_CLICKS)),
        _of_rows("marts.session_funnel", _funnel, _FUNNEL),
        Derived(
            REDIS_PRODUCTS, events_behind(PRODUCT_5M), _with_product, table(PRODUCT_5M).key, _PRODUCT, keyed=_windowed
        ),
        Derived(REDIS_SESSIONS, events_behind(SESSIONS), _current, ("user_id",), _CLICKS, "user_id"),
    )
}
"""By table."""
