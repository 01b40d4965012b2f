"""A valid string may hold control characters, U+0000 among them: where it can't be kept or seen, it is escaped."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from lakehouse.contracts.tables import table
from lakehouse.escaping import escaped
from lakehouse.explain.keys import as_typed, from_typed
from lakehouse.explain.page import render_explanation
from lakehouse.ledger.findings import Finding, Kind
from lakehouse.parity.check import Checked
from lakehouse.parity.results import Difference
from lakehouse.parity.sample import case_path, turns
from lakehouse.settings import load_settings

REGIONS = "gold.region_revenue_daily"
AT = datetime(2026, 3, 1, tzinfo=UTC)


def wrong_row(region: str) -> Checked:
    return Checked(REGIONS, 3, {"region": region, "event_date": date(2026, 3, 1)}, {}, None, ("purchases",), ())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no\x00rth", r"no\u0000rth"),
        ("\x1b[31m\x7f\x85", r"\u001b[31m\u007f\u0085"),
        ("a\tb\n\\ é 🚲", "a\tb\n\\ é 🚲"),
    ],
)
def test_control_characters_are_written_as_json_writes_them(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_pages_alerts_and_findings_show_them() -> None:
    differs = wrong_row("no\x00rth")
    (alert,) = turns([Difference(REGIONS, differs.row, AT)], [differs], AT)
    for text in (
        render_explanation(REGIONS, [differs.row], problem=differs.row),
        alert.summary,
        str(Finding(Kind.LOST, REGIONS, "why", keys=(differs.row,))),
    ):
        assert "\x00" not in text
        assert "u0000rth" in text


def test_a_key_that_holds_them_is_still_the_same_key() -> None:
    key = wrong_row("no\x00rth").key
    assert from_typed(table(REGIONS), as_typed(key)) == key


def test_each_row_has_a_case_of_its_own_whatever_its_key(tmp_path: Path) -> None:
    settings = load_settings().model_copy(update={"home": tmp_path})
    regions = ("no\x00rth", "no_rth", "no/rth", "é" * 5000, "é" * 5001)
    paths = {case_path(settings, wrong_row(region)) for region in regions}
    assert len(paths) == len(regions)
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
