"""Years in minutes: when Kafka and tables have forgotten, and jobs were killed and replaced, all is as before."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from experiments.ageing.run import FIRST, SERVICES, Ageing, Turns
from lakehouse.catalog import publish_seeded
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import FOLLOWER, INGEST
from lakehouse.runtime.wanted import migrate
from lakehouse.settings import Settings
from tests.faults.killing import running

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1200)]

CYCLES = 5
TURNS = Turns(forget=1, maintain=2, kill=3, upgrade=4, history_seconds=5)


@pytest.fixture(scope="module")
def shop(stack: "Stack", seed: int) -> Iterator[Settings]:
    settings = stack.ensure(*SERVICES)
    migrate(settings)
    publish_seeded(settings, seed, FIRST)
    with running(settings, JOBS[INGEST], JOBS[FOLLOWER]):
        yield settings


def test_an_aged_installation_answers_as_a_young_one(shop: Settings, seed: int) -> None:
    ageing = Ageing(shop, CYCLES, CYCLES, seed, TURNS)
    ageing.go_by()
    assert [answer for answer in ageing.asked() if not answer.right] == []
