"""An installation of the Spark driver's, and its change-over, killed on the way: by commands, as a process has the
contracts of one core."""

import os
import random
import re
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Final

from lakehouse.catalog import seed_catalogue
from lakehouse.catalog.refresh import refresh
from lakehouse.contracts.core import Core, record_core, recorded_core
from lakehouse.contracts.graph import DERIVED
from lakehouse.contracts.owners import INGEST_TRANSACTIONS, SPARK_INGEST
from lakehouse.contracts.tables import BRONZE, DEAD_LETTERS
from lakehouse.cuts import CARRIED_OVER
from lakehouse.delta import open_table
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.produce import send_day
from lakehouse.settings import ROOT, Settings, load_settings
from tests.waiting import until

SERVICES: Final = ("kafka", "minio", "postgres", "flink")
WINDOWS: Final = "gold.product_metrics_5m"
PATIENCE_SECONDS: Final = 900
LAKEHOUSE: Final = ROOT / "bin" / "lakehouse"


def environment() -> dict[str, str]:
    """Without a word on the core: what the installation has written down holds."""
    return {name: value for name, value in os.environ.items() if name != "LAKEHOUSE_CORE"} | {"COLUMNS": "200"}


def said(*arguments: str) -> str:
    """What the command says, which succeeds."""
    done = subprocess.run([LAKEHOUSE, *arguments], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made(day: ShopDay) -> tuple[Settings, str]:
    """An installation whose tables the Spark driver has made of a day, with dead letters and a replay; the replay's
    number."""
    record_core(load_settings().home, Core.SPARK)
    said("up", *SERVICES)
    load_settings.cache_clear()
    settings = load_settings()
    create_topics(settings)
    seed_catalogue(settings, day.seed, day.day)
    refresh(settings)
    send_day(settings, day, judged=False)
    for job in (SPARK_INGEST, INGEST_TRANSACTIONS):
        said("job", "start", job)
    said("compare", "--wait-seconds", str(PATIENCE_SECONDS), *BRONZE, *DERIVED)
    open_table(settings, WINDOWS).update(updates={"revenue_cents": "revenue_cents + 1"})
    told = said("replay", "plan", "--from", f"{day.day}", "--to", f"{day.day}T23:59:59.999Z", "--target", WINDOWS)
    number = re.findall(r"lakehouse replay run (\d+)", told)[0]
    assert f"replay {number} is done" in said("replay", "run", number)
    return settings, number


def _bronze_says_where_it_ends(settings: Settings) -> bool:
    return open_table(settings, DEAD_LETTERS).transaction_version(CARRIED_OVER) is not None


def _some_tables_are_in_place(settings: Settings) -> bool:
    return _in_place(settings, "silver.transactions") and not _in_place(settings, "gold.alerts")


def _in_place(settings: Settings, name: str) -> bool:
    return open_table(settings, name).metadata().partition_columns == []


def _the_core_is_written_down(settings: Settings) -> bool:
    return recorded_core(settings.home) is Core.FOLLOWER


MOMENTS: Final[tuple[Callable[[Settings], bool], ...]] = (
    _bronze_says_where_it_ends,
    _some_tables_are_in_place,
    _the_core_is_written_down,
)


def change_over(settings: Settings, seed: int) -> None:
    """Kills the command at one of the moments, twice, and then lets it end."""
    for number in sorted(random.Random(seed).sample(range(len(MOMENTS)), 2)):
        moment = partial(MOMENTS[number], settings)
        command = [LAKEHOUSE, "core", "change-over"]
        with subprocess.Popen(command, env=environment(), start_new_session=True) as process:
            until(moment, PATIENCE_SECONDS, MOMENTS[number].__name__, every=0.02)
            os.killpg(process.pid, signal.SIGKILL)
    assert "the follower silver and gold" in said("core", "change-over")
