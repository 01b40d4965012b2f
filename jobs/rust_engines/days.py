"""A UTC day as a range of event times."""

from datetime import UTC, date, datetime, time, timedelta

from jobs.rust_engines.sources import Sources
from lakehouse.time_travel.look import Span


def first_millisecond(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def last_millisecond(day: date) -> datetime:
    """Times have milliseconds and days are half-open: the last instant that belongs to `day`."""
    return first_millisecond(day) + timedelta(days=1, milliseconds=-1)


def whole_day(_sources: Sources, day: date) -> Span:
    return first_millisecond(day), last_millisecond(day)
