"""Times as a person types them."""

from datetime import UTC, datetime

import typer


def parse_time(option: str, text: str) -> datetime:
    """The ISO 8601 time `text`, which is UTC unless it says otherwise; raises `typer.BadParameter` naming `option`."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r} is no ISO 8601 time like 2024-03-01T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
