"""Text as a person pastes it into a shell."""

import re
import shlex
from collections.abc import Iterable
from typing import Final

_PLAIN: Final = re.compile(r"[\w@%+=:,./-]+")


def quoted(text: str) -> str:
    """Only where a shell would read something else: `shlex.quote` alone quotes every umlaut."""
    return text if _PLAIN.fullmatch(text) else shlex.quote(text)


def arguments(words: Iterable[str]) -> str:
    """`words` behind a command: after ``--`` where one begins with a dash, as it would be taken for an option."""
    given = list(words)
    begin = ["--"] if any(word.startswith("-") for word in given) else []
    return " ".join(map(quoted, begin + given))
