"""The page of the semantics shows cases that tests run, and the code's pointers lead to its sections."""

import re
from itertools import chain
from typing import Final

from lakehouse.settings import ROOT
from tests.cases import cases

PAGE: Final = (ROOT / "docs/semantics.md").read_text(encoding="utf-8")


def test_the_cases_that_it_names_are_there() -> None:
    named = [
        (room, name) for names, room in re.findall(r"\*Cases?: (.+?)\* \(`(\w+)`\)", PAGE) for name in names.split("; ")
    ]
    assert len(named) > 10
    assert set(named) <= {(case.table.split(".")[1], case.name) for case in cases()}


def test_pointers_into_it_lead_to_a_section() -> None:
    sections = set(re.findall(r"^## (.+)$", PAGE, re.MULTILINE))
    code = (path.read_text(encoding="utf-8") for path in (ROOT / "lakehouse").rglob("*.py"))
    pointers = set(chain.from_iterable(re.findall(r"docs/semantics\.md, ([^)]+)\)", text) for text in code))
    assert len(pointers) > 5
    assert pointers <= sections
