"""docs/events.md says of every contract what the code says."""

import pytest

from lakehouse.contracts.events import EVENTS, EventContract, Field, Kind, bounded_by_arrival
from lakehouse.contracts.validation import Reason
from lakehouse.settings import ROOT

PAGE = (ROOT / "docs" / "events.md").read_text()


def _meaning(field: Field) -> str:
    match field.kind:
        case Kind.TIME:
            return "time, at most 5 min after arrival" if bounded_by_arrival(field) else "time"
        case Kind.INTEGER:
            if field.maximum is not None:
                return f"integer from {field.minimum} to {field.maximum:,}"
            return "integer" if field.minimum is None else f"integer >= {field.minimum}"
        case _ if field.allowed:
            return " or ".join(f"`{value}`" for value in field.allowed)
        case _:
            return str(field.kind) + (", or null" if field.nullable else "")


def _section(contract: EventContract) -> str:
    rows = "\n".join(f"| `{field.name}` | {_meaning(field)} |" for field in contract.fields)
    return f"### `{contract.topic}`, by `{contract.key}`\n\n| field | holds |\n|---|---|\n{rows}\n"


@pytest.mark.parametrize("contract", EVENTS.values(), ids=EVENTS)
def test_page_has_the_contract(contract: EventContract) -> None:
    assert _section(contract) in PAGE


def test_page_explains_every_reason() -> None:
    assert all(f"`{reason}`" in PAGE for reason in Reason)
