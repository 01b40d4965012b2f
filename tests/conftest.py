"""What every test shares: a seed drawn per run, and one private stack, its services started when first asked for.

The stack lies in a home and on ports of its own, so that it never meets one that somebody uses. The installation
(`LAKEHOUSE_CACHE`) is the one that ran the tests.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import psutil
import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# Whatever core the installation has that somebody uses.
os.environ.setdefault("LAKEHOUSE_CORE", "spark")
os.environ.setdefault("LAKEHOUSE_SPARK", "off")

from infra.local import leftovers
from infra.local.isolated import isolated_environment
from infra.local.stack import LocalStack
from lakehouse.settings import ROOT, Settings, load_settings

HOME_PREFIX = "lakehouse-test-"
STACK = pytest.StashKey["Stack"]()

IN_TURNS: Final = (
    "tests/e2e/test_airflow_browser.py",
    "tests/e2e/test_airflow_cancel.py",
    "tests/e2e/test_airflow_dags.py",
    "tests/e2e/test_airflow_pages.py",
    "tests/e2e/test_airflow_rebuild.py",
    "tests/e2e/test_airflow_replay.py",
    "tests/e2e/test_kill_airflow.py",
    "tests/e2e/test_stack_exposure.py",
    "tests/faults/test_failed_schedules.py",
    "tests/faults/test_kill_flink.py",
    "tests/faults/test_kill_follower.py",
    "tests/faults/test_kill_follower_on_spark.py",
    "tests/faults/test_kill_fraud.py",
    "tests/faults/test_schedules.py",
    "tests/faults/test_upgrade.py",
    "tests/integration/tables/test_concurrent_commits.py",
    "tests/integration/tables/test_failing_store.py",
    "tests/integration/tables/test_spark_and_rust.py",
    "tests/integration/test_change_sets.py",
    "tests/integration/test_consumer_groups.py",
    "tests/integration/test_dashboard_writer.py",
    "tests/integration/test_flink_ingest.py",
    "tests/integration/test_lambda.py",
    "tests/integration/test_live_dashboard.py",
    "tests/integration/test_losses.py",
    "tests/integration/test_migration.py",
    "tests/integration/test_region_revenue.py",
    "tests/integration/test_rejudge.py",
    "tests/integration/test_replay.py",
    "tests/integration/test_set_aside.py",
    "tests/integration/test_spark_failing_store.py",
    "tests/integration/test_spark_stream.py",
    "tests/integration/test_tables_under_stream.py",
    "tests/integration/test_user_totals_state.py",
)
"""Files that take a core for minutes each. Of most kinds something is in every run: the change-over to the follower, a
replay that is killed on it, Airflow with it, and its steps on executors of Spark. With `--turns`, so many of them run,
drawn by the run's seed."""

# A busy machine is no reason to fail: examples may take as long as they need.
hypothesis.settings.register_profile(
    "lakehouse", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("lakehouse")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="Seed of all generated data; drawn if not given.")
    parser.addoption(
        "--writing-seconds", type=int, default=20, help="How long the writers of one table write at the same time."
    )
    parser.addoption("--turns", type=int, default=len(IN_TURNS), help="How many of the dearest files run, by the seed.")
    parser.addoption("--screenshots", type=Path, default=None, help="Where the pictures that the docs show are remade.")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """The run has one seed, which is printed: an option that was drawn is not among the arguments that workers get."""
    node.workerinput["seed"] = node.config.option.seed


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.option.seed = config.workerinput["seed"]
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(2**31)
    # A run that is told to end (by `timeout`, by a CI) still takes its stack down; one that was killed can't.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        # A worker's main module has no file, which PySpark takes for a run of its own doctests, and exits.
        sys.modules["__main__"].__file__ = __file__
    _end_abandoned()
    # Set for the whole run, not by the fixture: no test may reach the stack that a user has running.
    environment = isolated_environment(new_home())
    os.environ.update(environment)
    load_settings.cache_clear()
    config.add_cleanup(lambda: _remove_unless_kept(Path(environment["LAKEHOUSE_HOME"])))


_WITH_AIRFLOW = "e2e/"
_BUSY = (_WITH_AIRFLOW, "tests/faults/")
"""Scopes of which each takes a core."""
_CORES = len(os.sched_getaffinity(0))


def in_turn(config: pytest.Config) -> list[str]:
    """Those of `IN_TURNS` that this run has."""
    return random.Random(config.option.seed).sample(IN_TURNS, min(config.option.turns, len(IN_TURNS)))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    name = collection_path.relative_to(ROOT).as_posix()
    return True if name in IN_TURNS and name not in in_turn(config) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Airflow first, then the files that are given most time: processes that share them end at about the same time."""

    def rank(item: pytest.Item) -> float:
        module = item.getparent(pytest.Module)
        given = module.get_closest_marker("timeout") if module else None
        return float("-inf") if _has_airflow(item) else -float(given.args[0]) if given else 0

    items.sort(key=rank)


class _OneAirflow(LoadFileScheduling):
    """A file's tests share their fixtures and so a process; those of `tests/e2e` an Airflow, which is dear.

    Of more processes than cores, those beyond wait until what takes a core for itself is done, which comes first: the
    rest waits a good deal, for Kafka and for commands.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _WITH_AIRFLOW if _WITH_AIRFLOW in nodeid else super()._split_scope(nodeid)

    def _waits(self, node: WorkerController) -> bool:
        begun = [unit for units in self.assigned_work.values() for unit in units.items()]
        units = (*self.workqueue.items(), *begun)
        busy = any(scope.startswith(_BUSY) and not all(done.values()) for scope, done in units)
        return busy and node in self.nodes[_CORES:]

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not self._waits(node):
            super()._assign_work_unit(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        for idle in self.nodes[_CORES:]:
            if not self._pending_of(self.assigned_work[idle]):
                self._reschedule(idle)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    return _OneAirflow(config, log) if config.getoption("dist") == "loadfile" else None


def _has_airflow(item: pytest.Item) -> bool:
    return _WITH_AIRFLOW in item.nodeid


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End Airflow after its last test: it takes its share of the machine for as long as it lives. After the run's
    last test all of the stack is down already."""
    stack = item.config.stash.get(STACK, None)
    if stack is not None and nextitem is not None and _has_airflow(item) and not _has_airflow(nextitem):
        stack.local.end("airflow")


def pytest_report_header(config: pytest.Config) -> list[str]:
    seed = f"seed: {config.option.seed} (repeat with --seed {config.option.seed})"
    turns = f"in turn: {', '.join(in_turn(config)) or 'none'}"
    return [seed, turns] if config.option.turns < len(IN_TURNS) else [seed]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        (Path(os.environ["LAKEHOUSE_HOME"]) / "keep").touch()


def new_home() -> Path:
    """An empty directory whose name says which run it belongs to."""
    return Path(tempfile.mkdtemp(prefix=f"{HOME_PREFIX}{os.getpid()}-"))


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """Seed of this run, printed in its header."""
    return int(request.config.option.seed)


class Stack:
    """The session's own stack; `ensure` starts what a test needs."""

    def __init__(self) -> None:
        self._local = LocalStack(load_settings())

    @property
    def settings(self) -> Settings:
        """With credentials, once something was started."""
        return self._local.settings

    @property
    def local(self) -> LocalStack:
        return self._local

    def ensure(self, *services: str) -> Settings:
        """Start the services, and those they depend on, unless they run."""
        self._local.up(services)
        return self._local.settings


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator[Stack]:
    running = pytestconfig.stash[STACK] = Stack()
    yield running
    running.local.down()


def _end_abandoned() -> None:
    """End the stacks of runs that were killed."""
    for home in Path(tempfile.gettempdir()).glob(f"{HOME_PREFIX}*-*"):
        run = int(home.name.removeprefix(HOME_PREFIX).partition("-")[0])
        if not psutil.pid_exists(run):
            leftovers.end(load_settings().model_copy(update={"home": home}))
            if not (home / "keep").exists():
                shutil.rmtree(home, ignore_errors=True)


def _remove_unless_kept(home: Path) -> None:
    """After a failure the logs are worth a look."""
    logs = home / "logs"
    if (home / "keep").exists() and logs.exists():
        print(f"logs of a failed run: {logs}")
        shutil.rmtree(home / "data", ignore_errors=True)
    else:
        shutil.rmtree(home, ignore_errors=True)
