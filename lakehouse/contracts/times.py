"""Times in milliseconds since the epoch, and as written on the wire: read exactly, floored to milliseconds."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_DAYS_IN_MONTH: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAY_MS: Final = 86_400_000
_MAX_OFFSET_MINUTES: Final = 18 * 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4096)
def _date_ms(text: str) -> int | None:
    """Epoch milliseconds of midnight UTC, None if the calendar has no such day. Year 0000 is a leap year.

    `datetime` can't serve: it begins with year 1, and Java and Delta don't.
    """
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:])
    if not 1 <= month <= 12:
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS_IN_MONTH[month - 1] + (month == 2 and leap):
        return None
    # Days from civil: years begin in March, so that the leap day is the last of its year.
    shifted = year - (month <= 2)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468) * _DAY_MS


def parse_time(text: str) -> int | None:
    """Epoch milliseconds of ``YYYY-MM-DDTHH:MM:SS[.d{1,9}](Z|±HH:MM)``; None if it isn't a real time.

    Digits beyond the millisecond are floored. There is no 24:00, no second 60, no offset beyond ±18:00.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, hours, minutes, seconds, fraction, sign, offset_hours, offset_minutes = match.groups()
    midnight = _date_ms(day)
    if midnight is None or hours > "23" or minutes > "59" or seconds > "59":
        return None
    result = midnight + (int(hours) * 60 + int(minutes)) * 60_000 + int(seconds) * 1000
    if fraction is not None:
        result += int(fraction[:3].ljust(3, "0"))
    if sign is not None:
        offset = int(offset_hours) * 60 + int(offset_minutes)
        if offset_minutes > "59" or offset > _MAX_OFFSET_MINUTES:
            return None
        result += -offset * 60_000 if sign == "+" else offset * 60_000
    return result


def format_time(epoch_ms: int) -> str:
    """The shortest wire form of a time within years 0001 to 9999, in UTC: ``2026-07-01T10:00:00.250Z``."""
    moment = utc(epoch_ms)
    return moment.isoformat(timespec="milliseconds" if epoch_ms % 1000 else "seconds").replace("+00:00", "Z")


def utc(epoch_ms: int) -> datetime:
    """The time in UTC; exact, as a float of seconds is not in far years."""
    return _EPOCH + timedelta(milliseconds=epoch_ms)


def milliseconds(moment: date) -> int:
    """Epoch milliseconds of a time with a zone, finer digits floored, or of a day's midnight UTC."""
    at = moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return (at - _EPOCH) // timedelta(milliseconds=1)
