"""What the messages may hold that our own jobs send each other, by topics that anybody may write to.

A message is held to its type where it is read: by each reader, before it does anything with it. What is none is passed
over, for it would be read again after every restart.
"""

from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from lakehouse.contracts.events import LATEST_TIME, MAX_ID_BYTES
from lakehouse.contracts.times import parse_time

_LATEST_MS: Final = parse_time(LATEST_TIME) or 0
_WHY_LENGTH: Final = 200

_ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""Without control characters: it can be written into a line of a log."""

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES, pattern=_ONE_LINE)]
"""Of an event: every one that is valid fits."""
Text = Annotated[str, Field(max_length=4 * MAX_ID_BYTES, pattern=_ONE_LINE)]
"""Made of ids, or told to people."""
Milliseconds = Annotated[int, Field(ge=0, le=_LATEST_MS)]
"""Since the epoch: a time that every receiver can write as a date."""
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""Of records, or cents."""

T = TypeVar("T")


class MessageError(ValueError):
    """A message is not what its topic is for; it says why, in one line of bounded length."""


def parse_message(adapter: TypeAdapter[T], value: bytes | None, what: str) -> T:
    """The message that a record's value is, to the letter: no text for a number, no fraction for an integer.

    Fields that are not known are left out. Raises MessageError, which says that it is not `what`.
    """
    try:
        return adapter.validate_json(value or b"", strict=True)
    except ValidationError as error:
        raise MessageError(f"not {what}: {_why(error)}") from error


def _why(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    text = ": ".join([*map(str, first["loc"][-1:]), first["msg"]])
    # It may quote the message: nothing of that may look like a line of its own.
    return "".join(c if c.isprintable() else "?" for c in text)[:_WHY_LENGTH]
