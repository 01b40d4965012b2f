"""`marts.session_funnel`: per UTC day the sessions that began on it, those with a click, those with a purchase inside,
and the revenue of these purchases.

A session may end on a later day, and so may its purchases: these are read up to the day of the last session's end.
"""

from datetime import date, datetime, timedelta
from typing import Final

import polars as pl
import pyarrow as pa

from jobs.rust_engines.days import first_millisecond, last_millisecond
from jobs.rust_engines.sources import Sources
from lakehouse.checked_sums import narrowed, narrowed_sql
from lakehouse.time_travel.look import Span

GAP: Final = timedelta(minutes=30)
"""Between two events of a user that are in sessions of their own."""
REVENUE: Final = narrowed_sql("coalesce(sum(bought.revenue_cents), 0)")

SQL_LAST_DAY: Final = """
SELECT CAST(max(session_end) AS DATE) AS last FROM silver_sessions WHERE event_date = DATE '{day}'
"""

# Sessions of a user don't overlap: a purchase is inside one at most.
SQL: Final = """
WITH began AS (
    SELECT event_date, user_id, session_start, session_end, clicks, events, fingerprint
    FROM silver_sessions
    WHERE event_date = DATE '{day}'
),
bought AS (
    SELECT
        began.user_id,
        began.session_start,
        count(*) AS purchases,
        sum(CAST(purchase.amount_cents AS DECIMAL(38, 0))) AS revenue_cents,
        sum(CAST(purchase.record_hash AS DECIMAL(38, 0))) AS fingerprint
    FROM began
    JOIN silver_purchases AS purchase
        ON purchase.user_id = began.user_id
        AND purchase.event_time BETWEEN began.session_start AND began.session_end
    WHERE purchase.event_date BETWEEN DATE '{day}' AND DATE '{last}'
    GROUP BY began.user_id, began.session_start
)
SELECT
    began.event_date,
    count(*) AS sessions,
    sum(CASE WHEN began.clicks > 0 THEN 1 ELSE 0 END) AS sessions_with_click,
    count(bought.purchases) AS sessions_with_purchase,
    {revenue} AS revenue_cents,
    sum(began.events) + coalesce(sum(bought.purchases), 0) AS events,
    sum(began.fingerprint) + coalesce(sum(bought.fingerprint), 0) AS fingerprint
FROM began
LEFT JOIN bought ON bought.user_id = began.user_id AND bought.session_start = began.session_start
GROUP BY began.event_date
"""


def by_datafusion(sources: Sources, day: date) -> pa.Table:
    # Asked for first: files are pruned by a literal, not by what a subquery will say.
    last = sources.query(SQL_LAST_DAY.format(day=day.isoformat()))["last"][0].as_py()
    return sources.query(SQL.format(day=day.isoformat(), last=(last or day).isoformat(), revenue=REVENUE))


def by_polars(sources: Sources, day: date) -> pl.LazyFrame:
    began = sources.scan("silver.sessions", day)
    end = last_end(sources, day)
    purchases = sources.scan("silver.purchases", day, end.date() if end else day)
    bought = (
        began.select("user_id", "session_start", "session_end")
        .join(purchases.select("user_id", "event_time", "amount_cents", "record_hash"), on="user_id")
        .filter(pl.col("event_time").is_between("session_start", "session_end"))
        .group_by("user_id", "session_start")
        .agg(
            purchases=pl.len(),
            revenue_cents=pl.col("amount_cents").cast(pl.Int128).sum(),
            hashes=pl.col("record_hash").cast(pl.Decimal(38, 0)).sum(),
        )
    )
    return (
        began.join(bought, on=["user_id", "session_start"], how="left")
        .group_by("event_date")
        .agg(
            sessions=pl.len(),
            sessions_with_click=(pl.col("clicks") > 0).sum(),
            sessions_with_purchase=pl.col("purchases").count(),
            revenue_cents=narrowed(pl.sum("revenue_cents")),
            events=pl.sum("events") + pl.sum("purchases"),
            fingerprint=pl.sum("fingerprint") + pl.sum("hashes"),
        )
    )


def last_end(sources: Sources, day: date) -> datetime | None:
    """When the last of the sessions that began on `day` ends; None if there is none."""
    end: datetime | None = sources.scan("silver.sessions", day).select(pl.max("session_end")).collect().item()
    return end


def span(sources: Sources, day: date) -> Span:
    """The events that sessions of the day can be made of; and the last ones of the day before: one of them may make a
    session that seemed to begin after midnight a part of the one before."""
    return first_millisecond(day) - GAP, last_end(sources, day) or last_millisecond(day)
