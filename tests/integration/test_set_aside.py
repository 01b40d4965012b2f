"""Which errors set a micro-batch aside, and that an outage never does: real errors of real services."""

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest

from infra.local.isolated import free_port_base
from lakehouse.settings import ROOT
from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def probe(stack: Stack) -> dict[str, Any]:
    stack.ensure("minio", "postgres")
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.poison_probe", str(free_port_base())],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": f"p{uuid.uuid4().hex[:10]}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_errors_of_the_rows_are_poison(probe: dict[str, Any]) -> None:
    poison = probe["poison"]
    assert poison["a count that overflows"] == ["22003", "ARITHMETIC_OVERFLOW"]
    assert poison["two rows for one target row"][0] == "21506"
    assert poison["null where none may be"][0] == "23502"
    assert poison["overflow in PostgreSQL"][0] == "22003"


@pytest.mark.parametrize("error", ["PostgreSQL down", "store down", "no such version", "a bug"])
def test_what_may_pass_is_none(probe: dict[str, Any], error: str) -> None:
    assert probe["poison"][error] is None


def test_an_outage_is_raised_at_the_first_attempt_and_sets_nothing_aside(probe: dict[str, Any]) -> None:
    assert probe["outage"]["raised"] is None
    assert probe["outage"]["attempts"] == 1 < probe["outage"]["of"]
    assert probe["set_aside"] == 0
