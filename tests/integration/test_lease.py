"""One process at a time does a job's work; what it holds it loses with its connection."""

from typing import TYPE_CHECKING

import psycopg
import pytest

from lakehouse.runtime.lease import LeaseHeldError, lease
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def settings(stack: "Stack") -> Settings:
    return stack.ensure("postgres").model_copy(update={"namespace": "lease"})


def test_a_second_process_is_refused_by_the_name_of_the_first_until_that_has_ended(settings: Settings) -> None:
    with lease(settings, "follower"):
        named = r"follower runs already: follower \S+/\d+ since 20"
        with pytest.raises(LeaseHeldError, match=named), lease(settings, "follower", 0.3):
            pass
        with lease(settings.model_copy(update={"namespace": "other"}), "follower", 0.3):
            pass
    with lease(settings, "follower", 0):
        pass


def test_a_lease_ends_with_its_connection(settings: Settings) -> None:
    with lease(settings, "follower"):
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as database:
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'follower %'"
            )
        with lease(settings, "follower"):
            pass


def test_without_postgresql_nobody_is_kept_out(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = settings.model_copy(update={"postgres_port": 1})
    with lease(nowhere, "follower"):
        pass
    assert "no lease of follower" in caplog.text
