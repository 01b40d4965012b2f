"""Jobs replaced by another version of their code while events flow: nothing lost, nothing doubled, by the ledger."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from experiments.faults.journal import Journal
from lakehouse.checkpoints import current_checkpoint
from lakehouse.compare import compare
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.delta import scan
from lakehouse.drained import wait_until_drained
from lakehouse.flink_rest import latest_checkpoints
from lakehouse.generator.traffic import ShopDay
from lakehouse.ledger import audit
from lakehouse.produce import send_day
from lakehouse.replay import store
from lakehouse.runtime import code_in_force
from lakehouse.runtime.reconcile import start, stop, view
from lakehouse.runtime.upgrade import UpgradeError, upgrade
from lakehouse.settings import ROOT, Settings
from lakehouse.spark_checkpoints import last_spark_batch
from tests.faults.killing import PATIENCE_SECONDS, TABLES, flowing, running
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(2400)]

DAY = date(2026, 3, 12)
REPLAYED = DAY + timedelta(days=3)
REVENUE = ["gold.region_revenue_5m", "gold.region_revenue_daily"]
RULES = {
    Path("jobs/rust_engines/revenue.py"): 'checked_sum("amount_cents")',
    Path("lakehouse/semantics/metrics/region_revenue_5m/refresh.sql"): "checked_sum(amount_cents)",
}
"""What the stream and a replay make revenue by."""
SPARK, FLINK = JOBS[SPARK_INGEST], JOBS[INGEST_TRANSACTIONS]


class Checkout:
    """A checkout of its own, in which a rule can be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("cli", "experiments", "infra", "jobs", "lakehouse", "quality", "requirements"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
        shutil.copy(ROOT / ".gitignore", root)
        self._git("init", "--quiet")
        self.first = self.commit("as it is")

    def commit(self, why: str) -> str:
        self._git("add", "--all")
        self._git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--quiet", "-m", why)
        return code_in_force.code_version(self.root)

    def lakehouse(self, *words: str) -> None:
        self._command(*words).check_returncode()

    def refused(self, *words: str) -> str:
        """What a command that fails says, on one line."""
        done = self._command(*words)
        assert done.returncode
        return " ".join((done.stdout + done.stderr).split())

    def _command(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.root)}
        command = [sys.executable, "-m", "cli", *words]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        print(done.stdout, done.stderr)
        return done

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.root, check=True)


@pytest.fixture(scope="module")
def settings(stack: "Stack") -> Iterator[Settings]:
    settings = stack.ensure("kafka", "minio", "postgres", "flink")
    with running(settings, FLINK, SPARK):
        yield settings


def test_flink_goes_on_from_a_savepoint_and_spark_with_a_new_checkpoint_at_the_offsets_where_its_batch_ended(
    settings: Settings, seed: int
) -> None:
    journal, before = Journal(settings), current_checkpoint(settings, SPARK.name)
    with flowing(settings, DAY, seed) as flow:
        until(lambda: journal.open_batch("silver"), PATIENCE_SECONDS, "a batch with silver committed")
        stop(settings, SPARK, "test")
        with pytest.raises(UpgradeError, match="half done"):
            upgrade(settings, SPARK, "test", new_checkpoint=True)
        start(settings, SPARK, "test")
        half_done = last_spark_batch(settings, SPARK.name)
        until(lambda: last_spark_batch(settings, SPARK.name) != half_done, PATIENCE_SECONDS, "the batch is done")

        old = view(settings, SPARK).actual.handle
        upgraded = upgrade(settings, SPARK, "test", new_checkpoint=True)
        assert upgraded.handle != old
        savepoint = upgrade(settings, FLINK, "test").goes_on_from
        flow.hurry()
        until(lambda: last_spark_batch(settings, SPARK.name), PATIENCE_SECONDS, "a batch of the new checkpoint")
    ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    comparison = compare(settings, TABLES, ends)
    audited = audit(settings, ends, live=False)

    assert latest_checkpoints(settings, FLINK.name)["restored"]["external_path"] == savepoint
    assert current_checkpoint(settings, SPARK.name).number == before.number + 1
    assert [t for t in comparison.tables if not t.equal] == []
    assert comparison.accounting.balanced
    assert not audited.findings


def test_a_job_that_keeps_what_it_has_seen_in_its_checkpoint_gets_no_new_one(settings: Settings) -> None:
    before = view(settings, FLINK).actual.handle
    with pytest.raises(UpgradeError, match=f"{FLINK.name} keeps in its checkpoint"):
        upgrade(settings, FLINK, "test", new_checkpoint=True)
    assert view(settings, FLINK).actual.handle == before


def revenue(settings: Settings) -> list[int]:
    """Of each of the tables, on the day that is replayed."""
    tables = [scan(settings, name, dates=(REPLAYED, REPLAYED)) for name in REVENUE]
    return [int(rows.select(pl.sum("revenue_cents")).collect().item()) for rows in tables]


def doubled(cents: list[int]) -> list[int]:
    return [2 * each for each in cents]


def test_a_replay_by_new_code_lets_the_stream_go_on_with_it_and_its_undo_brings_rows_and_code_back(
    settings: Settings, seed: int, tmp_path: Path
) -> None:
    checkout = Checkout(tmp_path / "checkout")
    checkout.lakehouse("job", "upgrade", SPARK.name)
    send_day(settings, ShopDay(REPLAYED, 0, 60, seed))
    wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    right = revenue(settings)

    plan = (
        f"replay plan --from {REPLAYED} --to {REPLAYED + timedelta(days=1)} --topic shop.purchases --engine datafusion"
    )
    asked = (*plan.split(), *(word for name in REVENUE for word in ("--target", name)))
    checkout.lakehouse(*asked)
    planned = store.newest_first(settings)[0]
    assert not planned.plan.changes_code
    for path, rule in RULES.items():
        file = checkout.root / path
        file.write_text(file.read_text().replace(rule, f"(2 * {rule})"))
    changed = checkout.commit("count revenue twice")
    refused = checkout.refused("replay", "run", str(planned.id))
    assert f"planned with code {checkout.first}, and {changed} is installed: cancel it, and plan it again" in refused
    checkout.lakehouse("replay", "cancel", str(planned.id))
    checkout.lakehouse(*asked)
    replay = store.newest_first(settings)[0]
    assert (replay.plan.code_before, replay.plan.code_version) == (checkout.first, changed)
    checkout.lakehouse("replay", "run", str(replay.id))
    assert code_in_force.running(settings, SPARK.name) == changed
    assert revenue(settings) == doubled(right)
    # What the stream makes of later events is made by the same rule.
    send_day(settings, ShopDay(REPLAYED, 0, 60, seed + 1))
    wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    assert [t.table for t in compare(settings, REVENUE).tables if t.equal] == []
    with_later = revenue(settings)
    assert with_later[0] > 2 * right[0]

    # Planned while the stream runs the new code, which the undo below takes from it.
    checkout.lakehouse(*asked)
    unaware = store.newest_first(settings)[0]
    assert not unaware.plan.changes_code

    checkout.lakehouse("replay", "undo", str(replay.id))
    assert code_in_force.running(settings, SPARK.name) == checkout.first
    assert view(settings, SPARK).actual.code == checkout.first
    assert doubled(revenue(settings)) == with_later
    refused = checkout.refused("replay", "run", str(unaware.id))
    assert f"ran code {changed}, and that runs {checkout.first} now: cancel it, and plan it again" in refused
    assert doubled(revenue(settings)) == with_later
    checkout.lakehouse("replay", "cancel", str(unaware.id))
    send_day(settings, ShopDay(REPLAYED, 0, 60, seed + 2))
    ends = wait_until_drained(settings, PATIENCE_SECONDS, live=False)
    assert [t for t in compare(settings, REVENUE, ends).tables if not t.equal] == []
