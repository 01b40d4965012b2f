"""Texts of events where not every character can be kept or seen: in PostgreSQL, on pages, in messages and logs."""

import re
from typing import Final

_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tab and line feed."""


def escaped(text: str) -> str:
    """`text` with its control characters as JSON writes them: ``no\\u0000rth``.

    A valid event's strings may hold any. PostgreSQL keeps no U+0000, in `text` as little as in `jsonb`; HTML has none,
    and the others show as nothing. For people only: what is computed on keeps the text as it is.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
