"""Every schedule of faults that once found something ends exact; `found` says what it was."""

import json
from pathlib import Path

import pytest

from tests.faults.schedules import outcomes_of

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(3600)]

FAILED = Path(__file__).with_name("failed_seeds.json")


def test_schedules_that_failed_once_end_exact(tmp_path: Path) -> None:
    outcomes = outcomes_of(tmp_path, "--plan", FAILED, "--schedules", 0)
    assert [o["seed"] for o in outcomes] == [schedule["seed"] for schedule in json.loads(FAILED.read_text())]
