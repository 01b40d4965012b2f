"""What `tests/e2e` says of Airflow, with the follower as the core; of the Spark driver's it says the same in turn."""

import pytest

from tests.faults.test_on_follower import run_on_follower

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]


def test_operators_do_in_airflow_what_they_are_to(seed: int) -> None:
    run_on_follower("tests/e2e", seed)
