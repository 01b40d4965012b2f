"""Tables of one test, on the session's MinIO."""

import itertools
from typing import Final

import pytest

from lakehouse.settings import Settings
from tests.following import Kills, killing

_serial: Final = itertools.count()


@pytest.fixture
def lake(stack) -> Settings:
    """Settings of a namespace that no other test uses, so that every table starts missing."""
    return stack.ensure("minio").model_copy(update={"namespace": f"tables{next(_serial)}"})


@pytest.fixture
def kills(monkeypatch: pytest.MonkeyPatch) -> Kills:
    return killing(monkeypatch)
