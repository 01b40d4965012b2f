"""Clocks that are wrong."""

from datetime import datetime, timedelta, tzinfo
from typing import Self


class Tomorrow(datetime):
    """In place of `datetime` in a module: a machine whose clock runs ahead by a day."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=1)
