"""Two installations on one bucket and namespace: the second is told, before its writes pass for the first's."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local.services import declared
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.query import run_query
from lakehouse.contracts.jobs import JOBS
from lakehouse.delta import Once, append_ops, create_table, installations, open_table
from lakehouse.delta.installations import ForeignTablesError, owner_of, require_own, take_over
from lakehouse.delta.maintenance import compact, trim_log, vacuum
from lakehouse.delta.notes import Batch
from lakehouse.replay.staging import Staging
from lakehouse.runtime.flink import FlinkAdapter
from lakehouse.settings import Settings
from tests.integration.tables.refusing_store import RefusingProxy
from tests.integration.tables.writing import NAME, row
from tests.lake import stored

pytestmark = pytest.mark.stack

NO_SPARK: Any = None
NO_ROWS: Any = None


@pytest.fixture
def other(lake: Settings) -> Settings:
    """An installation that has another home, and was told to use the same store."""
    return lake.model_copy(update={"installation": "another", "home": lake.home / "elsewhere"})


def test_what_two_installations_call_by_one_name_is_not_taken_for_one_write(lake, other):
    """Each has a PostgreSQL that counts its replays from 1."""
    append_ops(lake, NAME, [row("ours")], Once("replay-1", 1))
    with pytest.raises(ForeignTablesError) as refused:
        append_ops(other, NAME, [row("theirs")], Once("replay-1", 1))
    said = str(refused.value)
    assert f"s3://lakehouse/{lake.namespace}/ at {lake.s3_endpoint} belong to installation {lake.installation}" in said
    assert f"this is installation another ({other.home})" in said
    assert "LAKEHOUSE_NAMESPACE" in said
    assert "lakehouse installation take-over" in said
    assert stored(other, NAME)["run_id"].to_list() == ["ours"], "reading is everybody's"


WRITES: dict[str, Callable[[Settings, str], object]] = {
    "delta_rs": create_table,
    "compact": compact,
    "vacuum": vacuum,
    "trim": trim_log,
    "staging": lambda other, name: Staging(other, 1).create(name),
    "flink": lambda other, _: FlinkAdapter(other).submit(JOBS["live_dashboard"]),
    "spark_create": lambda other, name: DeltaTables(NO_SPARK, other).create(name),
    "spark_write": lambda other, name: DeltaTables(NO_SPARK, other).append(name, NO_ROWS, Batch(job="job", batch_id=1)),
    "spark_merge": lambda other, _: DeltaTables(NO_SPARK, other).committing(Batch(job="job", batch_id=1)).__enter__(),
    "spark_stream": lambda other, _: run_query(other, "job", NO_ROWS, lambda _app_id: pytest.fail("started")),
    "up": lambda other, _: declared(other)["minio"].initialise(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_whoever_writes_or_goes_on_from_checkpoints_asks_first(lake, other, write):
    append_ops(lake, NAME, [row("ours")])
    with pytest.raises(ForeignTablesError, match="belong to installation"):
        write(other, NAME)
    assert open_table(lake, NAME).version() == 1


def test_of_installations_that_start_at_once_one_owns_the_tables(lake):
    names = [f"installation-{n}" for n in range(8)]

    def owns(name: str) -> bool:
        try:
            require_own(lake.model_copy(update={"installation": name}))
        except ForeignTablesError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [name for name, owned in zip(names, pool.map(owns, names), strict=True) if owned]
    assert won == [owner_of(lake).installation]


def test_another_namespace_is_another_s(lake, other):
    create_table(lake, NAME)
    beside = other.model_copy(update={"namespace": f"{lake.namespace}_beside"})
    create_table(beside, NAME)
    assert owner_of(beside).installation == "another"


def test_after_a_take_over_the_one_before_is_refused(lake, other, monkeypatch):
    append_ops(lake, NAME, [row("before")])
    assert take_over(other).before == (lake.installation,)
    append_ops(other, NAME, [row("after")])
    append_ops(lake, NAME, [row("within the minute")])
    monkeypatch.setattr(installations, "LOOK_SECONDS", 0)
    with pytest.raises(ForeignTablesError, match="belong to installation another"):
        append_ops(lake, NAME, [row("late")])
    assert take_over(lake).before == (lake.installation, "another")
    append_ops(lake, NAME, [row("again")])


def test_an_installation_without_a_name_writes_only_where_nobody_is_named(lake):
    """Of an earlier release, before its next `lakehouse up`."""
    unnamed = lake.model_copy(update={"installation": ""})
    create_table(unnamed, NAME)
    assert owner_of(lake) is None
    create_table(lake, NAME)
    beside = unnamed.model_copy(update={"namespace": f"{lake.namespace}_beside"})
    require_own(lake.model_copy(update={"namespace": beside.namespace}))
    with pytest.raises(ForeignTablesError, match="this is an installation without a name"):
        create_table(beside, NAME)


def test_a_writer_goes_on_while_the_store_does_not_tell_whose_the_tables_are(lake, monkeypatch):
    create_table(lake, NAME)
    monkeypatch.setattr(installations, "LOOK_SECONDS", 0)
    with RefusingProxy((lake.host, lake.minio_port), 503, "GET", "_installation.json") as proxy:
        append_ops(lake.model_copy(update={"minio_port": proxy.port}), NAME, [row("run")])
    assert proxy.count
    assert stored(lake, NAME).height == 1


def test_the_command_shows_and_takes_over(lake, other):
    def said(*words: str, fails: int = 0) -> str:
        environment = os.environ | {"LAKEHOUSE_NAMESPACE": lake.namespace, "LAKEHOUSE_INSTALLATION": "another"}
        command = [sys.executable, "-m", "cli", *words]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, input="")
        assert ran.returncode == fails, ran.stderr
        return ran.stdout + ran.stderr

    assert "the tables belong to nobody yet" in said("installation", "show")
    create_table(lake, NAME)
    assert f"the tables belong to installation {lake.installation} (" in said("installation", "show")
    assert "belong to installation" in said("table", "compact", NAME, fails=1)
    assert "Is it stopped for good" in said("installation", "take-over", fails=1)
    assert "the tables belong to installation another (" in said("installation", "take-over", "--yes")
    assert "before that, to installation" in said("installation", "show")
    assert "nothing to join" in said("table", "compact", NAME)
