"""What commands print is what the data say, character for character."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from cli import audit, compare, explain, mart, produce, replay, validate
from cli.output import console, print_block, print_rows, styled, working
from lakehouse.compare import Comparison, TableComparison
from lakehouse.compare.accounting import Accounting
from lakehouse.contracts.validation import Invalid, Reason
from lakehouse.explain.explanation import RECORDS, Change, Explanation
from lakehouse.kafka.feed import Fed, Refusal
from lakehouse.ledger import Audit
from lakehouse.ledger.findings import Finding, Kind
from lakehouse.settings import ROOT
from lakehouse.time_travel.causes import EVENTS_BETWEEN
from lakehouse.time_travel.difference import Difference, RowChange
from lakehouse.time_travel.look import Look

LAYERS = ("lakehouse", "jobs", "quality", "infra", "experiments", "cli", "dags")

AT = datetime(2026, 3, 1, tzinfo=UTC)
HOSTILE = r"sku:100:42 [red]x[/] [/nothing] C:\dir\ " + "long " * 40
"""An emoji, styles that are none, a back slash at the end of a word, and more than a terminal is wide."""


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_lines_rows_and_tables_are_verbatim(capsys: pytest.CaptureFixture[str]) -> None:
    console.print(HOSTILE, style="red")
    console.print(styled((HOSTILE, "bold"), HOSTILE))
    print_block({"a": HOSTILE})
    print_rows(("a", "b"), [(HOSTILE, "x")])
    print_rows(("a", "b"), [("sku:100:42", r"[b]\\")])
    with working(HOSTILE) as say:
        say(HOSTILE)
    assert shown(capsys).count(HOSTILE) == 5


def test_null_is_told_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("a", "b"), [(None, "")])
    assert shown(capsys).splitlines()[1].split() == ["null"]


def test_a_terminal_gets_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    console.print("a\x1b]0;b\x07\rc\x85d\te")
    assert shown(capsys) == r"a\u001b]0;b\u0007\u000dc\u0085d\u0009e" + "\n"


def explanation() -> None:
    row = {"user_id": HOSTILE, "events": 1, "fingerprint": 7}
    record = {"topic": "shop.clicks", "partition": 0, "offset": 1, "status": "counted", "value": HOSTILE.encode()}
    change = Change(3, AT, HOSTILE, {}, row | {"user_id": f"before {HOSTILE}"})
    records = pl.DataFrame([record], schema=RECORDS)
    explain._show(Explanation("gold.user_totals", 3, {"user_id": HOSTILE}, row, {}, records, change, (HOSTILE,)), 5)


def comparison() -> None:
    differs = TableComparison("gold.user_totals", 1, 2, 1, examples=(HOSTILE,))
    compare._show(Comparison("run", AT, {}, (differs,), Accounting({}, 0, 0, 0, 0, 0, 0, 0), 1.0))


def audited() -> None:
    lost = Finding(Kind.LOST, "gold.user_totals", "why", keys=(HOSTILE,))
    audit.show_audit(Audit("run", AT, {}, {}, 0, (), (lost,), (HOSTILE,), 1.0))


def differing_marts() -> None:
    day = date(2026, 3, 1)
    rows = pl.DataFrame({"region": [HOSTILE]})
    then, now = (Look("marts.region_daily", day, AT, {}, (AT, AT), rows) for _ in range(2))
    changed = RowChange({"event_date": day, "region": HOSTILE}, {"clicks": HOSTILE}, {"clicks": HOSTILE})
    mart._show(Difference(then, now, rows, rows, (changed,), (), pl.DataFrame(schema=EVENTS_BETWEEN)), 5)


def refused_records() -> None:
    refusal = Refusal(HOSTILE, "shop.clicks", HOSTILE.encode(), Invalid(Reason.NOT_JSON))
    fed = Fed(refused=Counter(not_json=1), refusals=[refusal])
    with pytest.raises(typer.Exit):
        produce._report(HOSTILE, None, lambda **_: fed, judged=True, unsafe=False, rate=None)


@pytest.mark.parametrize(
    ("show", "times"),
    [
        (explanation, 6),
        (comparison, 1),
        (audited, 2),
        (differing_marts, 5),
        (refused_records, 2),
    ],
)
def test_what_a_command_shows_is_verbatim(
    show: Callable[[], None], times: int, capsys: pytest.CaptureFixture[str]
) -> None:
    show()
    assert shown(capsys).count(HOSTILE) == times


def test_a_plan_s_tables_are_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    name = "gold.region_revenue_sliding_10m__consumer"
    replay._tell(f"**Replay 7**: events\n\n| table | days |\n|---|---|\n| {name} | {'2026-03-01, ' * 20}|\n| b | all |")
    said = shown(capsys).splitlines()
    assert (said[0], said[2].split()) == ("Replay 7: events", ["table", "days"])
    assert said[3].split()[0] == name
    assert said[3].count("2026-03-01") == 20


def test_files_and_lines_are_named_verbatim(tmp_path: Path) -> None:
    file = tmp_path / "a [b]:100:.jsonl"
    file.write_text(f"{'x' * 10}\n" * 100)
    output = CliRunner().invoke(validate.app, [str(file)]).output
    assert f"{file}:100: not_json: the value is not exactly one JSON object" in output


def test_only_one_module_makes_consoles() -> None:
    """Each other one would have to know what its text may hold."""
    makes = re.compile(r"rich\.(console|markup|markdown)|from_markup|rich import")
    found = [p.relative_to(ROOT) for top in LAYERS for p in (ROOT / top).rglob("*.py") if makes.search(p.read_text())]
    assert found == [Path("cli/output.py")]
