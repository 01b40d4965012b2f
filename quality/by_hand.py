"""The rules that only somebody who knows what a table means can write, by table.

Bounds come from `lakehouse.semantics.scopes`, so that a changed definition changes its rules.
"""

from datetime import timedelta
from typing import Final

import polars as pl

from lakehouse.semantics.metrics.fraud_decisions.spec import RULE as FRAUD
from lakehouse.semantics.metrics.purchase_clicks.spec import RULE as ATTRIBUTION
from lakehouse.semantics.metrics.sessions.spec import RULE as SESSION
from quality.rules import FrameRule, RowRule, Rule, Severity

_NULL: Final = pl.lit(None)
_MINUTE_US: Final = 60_000_000


def _ms(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_milliseconds()


def _window(size_minutes: int, slide_minutes: int) -> tuple[Rule, ...]:
    start, end = pl.col("window_start"), pl.col("window_end")
    return (
        RowRule(f"the window is {size_minutes} min long", end - start != timedelta(minutes=size_minutes)),
        RowRule(
            f"window_start is a multiple of {slide_minutes} min",
            start.dt.epoch("us") % (slide_minutes * _MINUTE_US) != 0,
        ),
    )


def _one_event_id_one_time(rows: pl.LazyFrame) -> pl.LazyFrame:
    times = rows.group_by("user_id", "event_id").agg(times=pl.col("event_time").n_unique())
    return times.filter(pl.col("times") > 1)


_ONE_TIME: Final = FrameRule(
    "one event_id of a user has one event_time within a day", _one_event_id_one_time, Severity.WARNING
)
_ENRICHED: Final[tuple[Rule, ...]] = (
    RowRule("the product version began by the event's time", pl.col("product_valid_from") > pl.col("event_time")),
    RowRule(
        "category, brand, price_cents and product_valid_from are known together",
        pl.any_horizontal(
            pl.col(name).is_null() != pl.col("product_valid_from").is_null()
            for name in ("category", "brand", "price_cents")
        ),
    ),
    _ONE_TIME,
)


def _versions(key: str) -> tuple[Rule, ...]:
    def gaps(rows: pl.LazyFrame) -> pl.LazyFrame:
        following = pl.col("valid_from").shift(-1).over(key, order_by="valid_from")
        return rows.with_columns(following=following).filter(~pl.col("following").eq_missing(pl.col("valid_to")))

    return (
        RowRule("a version ends after it begins", pl.col("valid_to") <= pl.col("valid_from")),
        FrameRule("a version ends where the next one begins, and only the last is open", gaps),
    )


_purchases_are_events = RowRule("events counts the purchases", pl.col("events") != pl.col("purchases"))
_actions_are_events = RowRule(
    "events counts impressions and clicks", pl.col("events") != pl.col("impressions") + pl.col("clicks")
)
_first_before_last = RowRule(
    "the first purchase is not after the last", pl.col("first_purchase") > pl.col("last_purchase")
)
_click_delay = _ms(pl.col("event_time") - pl.col("click_event_time"))
_ctr = pl.col("clicks").cast(pl.Float64) / pl.col("impressions").cast(pl.Float64)
_duration = _ms(pl.col("session_end") - pl.col("session_start"))

BY_HAND: Final[dict[str, tuple[Rule, ...]]] = {
    "silver.clicks": (
        *_ENRICHED,
        RowRule(
            "a page without a product has no product version",
            pl.col("product_id").is_null() & pl.col("product_valid_from").is_not_null(),
        ),
    ),
    "silver.purchases": _ENRICHED,
    "silver.transactions": (_ONE_TIME,),
    "silver.products": _versions("product_id"),
    "silver.profiles": _versions("user_id"),
    "silver.sessions": (
        RowRule("duration_ms lies between first and last event", pl.col("duration_ms") != _duration),
        RowRule(
            f"anomalous: over {SESSION.long_events} events or {SESSION.long_ms // 3_600_000} h",
            pl.col("anomalous")
            != ((pl.col("events") > SESSION.long_events) | (pl.col("duration_ms") > SESSION.long_ms)),
        ),
        _actions_are_events,
    ),
    "silver.session_parts": (
        RowRule("a part's first event is not after its last", pl.col("part_start") > pl.col("part_end")),
        RowRule(
            f"a part lies in its {SESSION.part_ms // 3_600_000} h of the session",
            (_ms(pl.col("part_start") - pl.col("session_start")) // SESSION.part_ms != pl.col("part"))
            | (_ms(pl.col("part_end") - pl.col("session_start")) // SESSION.part_ms != pl.col("part")),
        ),
        _actions_are_events,
    ),
    "silver.purchase_clicks": (
        RowRule(
            "the click's id and time are known together",
            pl.col("click_event_id").is_null() != pl.col("click_event_time").is_null(),
        ),
        RowRule(
            f"the click came within {ATTRIBUTION.reach_ms // 60_000} min before the purchase",
            ~_click_delay.is_between(0, ATTRIBUTION.reach_ms),
        ),
        RowRule(
            "events counts the purchase and its click",
            pl.col("events") != 1 + pl.col("click_event_id").is_not_null().cast(pl.Int64),
        ),
    ),
    "gold.product_metrics_5m": (
        *_window(5, 5),
        RowRule(
            "events counts impressions, clicks and conversions",
            pl.col("events") != pl.col("impressions") + pl.col("clicks") + pl.col("conversions"),
        ),
        RowRule(
            "ctr is clicks / impressions, null without impressions",
            ~pl.col("ctr").eq_missing(pl.when(pl.col("impressions") > 0).then(_ctr).otherwise(_NULL)),
        ),
        RowRule("no revenue without a conversion", (pl.col("conversions") == 0) & (pl.col("revenue_cents") > 0)),
    ),
    "gold.region_revenue_5m": (*_window(5, 5), _purchases_are_events),
    "gold.region_revenue_daily": (_purchases_are_events,),
    "gold.region_revenue_sliding_10m": (*_window(10, 1), _purchases_are_events),
    "gold.user_totals_daily": (
        _purchases_are_events,
        _first_before_last,
        RowRule(
            "both purchases lie on event_date",
            (pl.col("first_purchase").dt.date() != pl.col("event_date"))
            | (pl.col("last_purchase").dt.date() != pl.col("event_date")),
        ),
    ),
    "gold.user_totals": (_purchases_are_events, _first_before_last),
    "gold.fraud_decisions": (
        RowRule(
            "of the transactions in an hour, some are in the last 10 minutes, and one is itself",
            (pl.col("transactions_10m") < 1) | (pl.col("transactions_10m") > pl.col("transactions_1h")),
        ),
        RowRule(
            f"flagged: the {FRAUD.flag_count}th or later in {FRAUD.flag_ms // 60_000} minutes",
            pl.col("flagged") != (pl.col("transactions_10m") >= FRAUD.flag_count),
        ),
        RowRule("blocked: there is a trigger", pl.col("blocked") != pl.col("trigger_time").is_not_null()),
        RowRule(
            f"the {FRAUD.trigger_count}th or later in an hour is a trigger, which blocks itself",
            (pl.col("transactions_1h") >= FRAUD.trigger_count)
            & ~pl.col("trigger_time").eq_missing(pl.col("event_time")),
        ),
        RowRule(
            "a trigger blocks for less than an hour",
            ~_ms(pl.col("event_time") - pl.col("trigger_time")).is_between(0, FRAUD.block_ms - 1),
        ),
        RowRule("a decision is made of one transaction", pl.col("events") != 1),
    ),
    "gold.alerts": (
        RowRule(
            "the rule is one of those that there are",
            ~pl.col("rule").is_in(["ctr_anomaly", "anomalous_session", "fraud_flagged", "fraud_blocked"]),
        ),
        RowRule(
            "the alert of a transaction names it, no other does",
            pl.col("event_id").is_not_null() != pl.col("rule").is_in(["fraud_flagged", "fraud_blocked"]),
        ),
        RowRule(
            "the event's id and time are known together",
            pl.col("event_id").is_null() != pl.col("event_time").is_null(),
        ),
        RowRule("the window doesn't end before it begins", pl.col("window_end") < pl.col("window_start")),
        RowRule(
            "the event lies in the window",
            (pl.col("event_time") < pl.col("window_start")) | (pl.col("event_time") >= pl.col("window_end")),
        ),
    ),
}
