"""What people ask of an installation, by the commands that they ask by."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from lakehouse.delta import scan
from lakehouse.settings import ROOT, Settings

_NOTHING_WRONG: Final = "0 lost, 0 doubled, 0 altered"
_KEPT: Final = 4_000
"""Characters of an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`right`: it is what is asked for, or says what is out of reach. `told`: the end of what was said."""

    question: str
    right: bool
    seconds: float
    told: str


def ask(settings: Settings, question: str, words: Sequence[str], *expected: str) -> Answer:
    """Calls `lakehouse`; right is what ends well and says all that is `expected`."""
    began = time.monotonic()
    environment = os.environ | {"LAKEHOUSE_HOME": str(settings.home), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-P", "-m", "cli", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    right = done.returncode == 0 and all(words in said for words in expected)
    return Answer(question, right, round(time.monotonic() - began, 1), " ".join(said.split())[-_KEPT:])


def answers(settings: Settings, first: date) -> Iterator[Answer]:
    """To all that is asked, of an installation whose first day was `first` and in which nothing is under way."""
    yield ask(settings, "every row is the reference's", ["compare", "--at-cut"])
    yield ask(settings, "no record is lost, doubled or altered", ["audit", "--no-live"], _NOTHING_WRONG)
    yield ask(settings, "the same with nothing new since", ["audit", "--no-live"], _NOTHING_WRONG)
    yield ask(settings, "rows are made again from their records", ["parity"], "0 differ")
    user = scan(settings, "gold.user_totals").sort("first_purchase").select("user_id").head(1).collect().item()
    yield ask(settings, "the oldest user's total adds up", ["explain", "gold.user_totals", "--", user], "It adds up")
    asked_at = datetime.now(UTC).isoformat()
    mart = ["mart", "run", "--day", f"{first}", "--as-of", asked_at]
    yield ask(settings, "the first day's marts are built as of now", mart, "3 of 3", "equal")
    yield from _replayed(settings, first)


def _replayed(settings: Settings, day: date) -> Iterator[Answer]:
    """A replay of the day, from its plan to its end."""
    span = ["--from", f"{day}", "--to", f"{day + timedelta(1)}"]
    planned = ask(settings, "a replay of the first day is planned", ["replay", "plan", *span], "lakehouse replay run")
    yield planned
    carried_out = "the replay is carried out"
    if found := re.search(r"lakehouse replay run (\d+)", planned.told):
        yield ask(settings, carried_out, ["replay", "run", found[1]], f"replay {found[1]} is done")
    else:
        yield Answer(carried_out, right=False, seconds=0, told="it was not planned")
