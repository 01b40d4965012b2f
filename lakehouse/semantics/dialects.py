"""SQL that Spark and DataFusion both run: what means the same is written the same, and the rest by macros.

- ``millis(time)``: milliseconds since the epoch;
- ``window_start(time, minutes)``: the start of the window, aligned to the epoch, that holds the time;
- ``fingerprint(record_hash)``: the exact sum of 60-bit hashes;
- ``checked_sum(cents)``: the sum of a bigint column, null where it doesn't fit; see `lakehouse.checked_sums`.

What else differs, silently even, is left out of the common dialect: a division of integers, a cast of a time to a
number, ``<=>``, ``DIV``, structs, arrays, ``LATERAL VIEW``, ``window()``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from lakehouse.checked_sums import written_out

_CALL: Final = re.compile(r"\b(millis|window_start|fingerprint)\(((?:[^()]|\([^()]*\))*)\)")

Macro = Callable[..., str]


def _fingerprint(hashes: str) -> str:
    # Two sums of 30-bit halves don't overflow, and are a multiple faster than a sum of decimals.
    return (
        f"CAST(CAST(sum({hashes} >> 30) AS DECIMAL(20, 0)) * 1073741824 "
        f"+ CAST(sum({hashes} & 1073741823) AS DECIMAL(20, 0)) AS DECIMAL(38, 0))"
    )


_SPARK: Final[Mapping[str, Macro]] = {
    "millis": lambda time: f"unix_millis({time})",
    "window_start": lambda time, minutes: (
        f"timestamp_millis(unix_millis({time}) - unix_millis({time}) % {int(minutes) * 60_000})"
    ),
    "fingerprint": _fingerprint,
}
_DATAFUSION: Final[Mapping[str, Macro]] = {
    "millis": lambda time: f"(CAST({time} AS BIGINT) / 1000)",  # microseconds, which are whole milliseconds
    "window_start": lambda time, minutes: f"date_bin(INTERVAL '{int(minutes)} minutes', {time})",
    "fingerprint": _fingerprint,
}


def for_spark(query: str) -> str:
    """`query`, in the common dialect, for Spark 4."""
    return _written_out(query, _SPARK)


def for_datafusion(query: str) -> str:
    """`query`, in the common dialect, for DataFusion 55, whose session counts in UTC."""
    return _written_out(query, _DATAFUSION)


def _written_out(query: str, macros: Mapping[str, Macro]) -> str:
    def write(call: re.Match[str]) -> str:
        return macros[call[1]](*(argument.strip() for argument in call[2].split(",")))

    return written_out(_CALL.sub(write, query))
