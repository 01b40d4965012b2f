"""Times as files have them."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from lakehouse.contracts.times import milliseconds
from lakehouse.csv_events.mapping import EPOCH, EPOCH_MS, ISO, Ambiguous, CsvMapping, Nonexistent
from lakehouse.csv_events.numbers import read_decimal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_NAMES: Final = ("UTC", "GMT", "Z")


class TimeError(ValueError):
    """The text is no time, or nobody knows which; the message says so."""


class Times:
    """Reads times as `mapping` says that they are written."""

    def __init__(self, mapping: CsvMapping) -> None:
        self._mapping = mapping
        self._format = mapping.time_format
        self._named = "Z" in re.findall(r"%(.)", self._format)
        self._zone = ZoneInfo(mapping.tz)
        self._shift = timedelta(days=mapping.shift_days)

    def read(self, text: str) -> int:
        """Epoch milliseconds, finer digits floored, in years 1 to 9999. Raises TimeError."""
        try:
            moment = self._since_epoch(text) if self._format in (EPOCH, EPOCH_MS) else self._written(text)
            # In UTC first: what is added to a local time is added to what its clock shows, whether that was or not.
            return milliseconds(moment.astimezone(UTC) + self._shift)
        except TimeError:
            raise
        except (ValueError, ArithmeticError):  # an OverflowError is one: years beyond 9999
            names = "; of %Z, names are read, as UTC, and no offsets: those are %z" if self._named else ""
            raise TimeError(f"{text!r} is not a time in the format {self._format!r}{names}") from None

    def _since_epoch(self, text: str) -> datetime:
        number = read_decimal(text, self._mapping.decimal)
        return _EPOCH + timedelta(milliseconds=math.floor(number * (1000 if self._format == EPOCH else 1)))

    def _written(self, text: str) -> datetime:
        name = None
        if self._format == ISO:
            moment = datetime.fromisoformat(text)
        elif self._named:
            moment, name = self._with_name(text)
        else:
            moment = datetime.strptime(text, self._format)
        if moment.tzinfo:
            return moment
        if name and name.upper() in _UTC_NAMES:
            return moment.replace(tzinfo=UTC)
        first = moment.replace(tzinfo=self._zone)
        second = first.replace(fold=1)
        if name is not None and len(named := self._named_so(text, first, second, name)) == 1:
            return named[0]
        # Where clocks change nothing, both are one.
        return first if first.utcoffset() == second.utcoffset() else self._chosen(text, first, second)

    def _with_name(self, text: str) -> tuple[datetime, str]:
        """The time, and the name of a zone that `text` has at the place of %Z, which `strptime` doesn't tell."""
        for word in reversed(re.findall(r"[A-Za-z]+", text)):
            try:
                return datetime.strptime(text, _with_literal_zone(self._format, word)), word
            except ValueError:
                continue
        raise ValueError(text)

    def _named_so(self, text: str, first: datetime, second: datetime, name: str) -> list[datetime]:
        """Those that `tz` calls by the name, which is no offset by itself: IST is three. Raises TimeError: none."""
        called = [(moment, moment.tzname() or "") for moment in (first, second)]
        named = [moment for moment, known in called if known.upper() == name.upper()]
        if not named:
            known = " or ".join(dict.fromkeys(known for _, known in called))
            raise TimeError(
                f"{text!r} names the zone {name!r}; what is known is UTC, GMT, Z and, of --tz {self._mapping.tz} at "
                f"that time, {known}: say the --tz where it is {name}, or give offsets, which are %z"
            )
        return named

    def _chosen(self, text: str, first: datetime, second: datetime) -> datetime:
        """The time that the mapping says is meant, of two.

        Where clocks go back, they are the earlier and the later. Where they go forward, the first is by the offset
        before: as much after the change as it would be after it by a clock that was left as it was.
        """
        tz = self._mapping.tz
        if first.astimezone(UTC) < second.astimezone(UTC):
            if self._mapping.ambiguous is Ambiguous.REFUSE:
                raise TimeError(
                    f"{text!r} was twice in {tz}, where clocks were put back: {_utc(first)} and {_utc(second)}; say "
                    f"--ambiguous earlier or later, or give times with offsets"
                )
            return first if self._mapping.ambiguous is Ambiguous.EARLIER else second
        if self._mapping.nonexistent is Nonexistent.REFUSE:
            shown = first.astimezone(UTC).astimezone(self._zone)
            raise TimeError(
                f"{text!r} never was in {tz}, where clocks were put forward: say --nonexistent forward for "
                f"{shown:%H:%M:%S} ({_utc(first)}), or another --tz"
            )
        return first


def _with_literal_zone(format: str, word: str) -> str:
    return re.sub(r"%(.)", lambda part: word if part[1] == "Z" else part[0], format)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
