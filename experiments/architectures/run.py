"""Runs Kappa and Lambda one after the other on a stack of their own: the same events, the same caps, measured.

Each run is a tenant with topics and tables of its own. An architecture's processes are measured from when they have
handled first events; Kafka and MinIO, which both use, apart from them.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from experiments.architectures.freshness import freshness, of_kappa, of_lambda
from experiments.architectures.meter import Meter, Running, Usage, measured, running, stored
from experiments.architectures.result import ARCHITECTURES, Compared, Correction, Late, Live, Result
from experiments.architectures.streams import INGEST, KAPPA
from infra.local.machine import describe
from infra.local.stack import LocalStack
from jobs.rust_engines.lambda_serving import serving
from jobs.streaming.lambda_speed.main import FLUSH_SECONDS
from jobs.streaming.spark.progress import journal_path
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.reference import Reference
from lakehouse.compare.tables import PinnedTable
from lakehouse.contracts.tables import LAMBDA_METRICS, table
from lakehouse.delta import TableMissingError, open_table
from lakehouse.delta.describe import extent
from lakehouse.drained import kafka_ends
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.lambda_layers import TOPICS, Offsets, open_layers
from lakehouse.produce import send_day
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import Settings

SERVICES: Final = ("kafka", "minio", "postgres")
SHARED: Final = ("kafka", "minio")
STREAMS: Final = "experiments.architectures.streams"
SPEED: Final = "jobs.streaming.lambda_speed.main"
BATCH: Final = "jobs.batch.lambda_batch"
REBUILD: Final = "jobs.batch.rebuild"
EVERY_PROCESS: Final = {
    # Both commit as often: what the speed layer does, Kappa's stream does too.
    "LAKEHOUSE_SPARK_TRIGGER_SECONDS": str(round(FLUSH_SECONDS)),
    # As in production: a stack of its own has Spark interpret, which suits some thousand events.
    "LAKEHOUSE_SPARK_CODEGEN": "true",
}
REBUILT: Final = (*LAMBDA_METRICS.values(), "gold.region_revenue_5m", "silver.session_parts")
"""Of Kappa, the three tables and the finer ones that two of them are made of."""
LAYERS: Final[Mapping[str, tuple[str, ...]]] = {"kappa": ("silver", "gold"), "lambda": ("lambda",)}
"""Of the tables that each keeps beside bronze."""
PROCESSES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "kappa": {"stream": (STREAMS, KAPPA)},
    "lambda": {"ingest": (STREAMS, INGEST), "speed": (SPEED,)},
}
"""Of each, what runs while events flow; Lambda's batch runs come and go."""
DAY: Final = date(2026, 3, 1)
WARM_UP: Final = ShopDay(date(2026, 2, 1), 300, 20, seed=1)
WAIT_SECONDS: Final = 600.0
POLL_SECONDS: Final = 0.5

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run. `rate`: events per second, for `seconds`; a batch run begins every `cadence` seconds. `history_days`
    of `history_clicks` each are what a correction makes anew."""

    seed: int
    rate: int = 300
    seconds: float = 300.0
    cadence: float = 120.0
    history_days: int = 30
    history_clicks: int = 10_000
    repeats: int = 3

    @property
    def day(self) -> ShopDay:
        """The events that flow: a hundred clicks for each purchase, some late, doubled and broken."""
        clicks = max(100, round(self.rate * self.seconds))
        return ShopDay(DAY, clicks, max(1, clicks // 100), self.seed, broken=0.002)

    def history(self) -> Iterator[ShopDay]:
        purchases = max(1, self.history_clicks // 100)
        for back in range(self.history_days, 0, -1):
            yield ShopDay(DAY - timedelta(days=back), self.history_clicks, purchases, self.seed + back)


@dataclass(slots=True)
class Comparing:
    """One comparison on a stack that runs."""

    stack: LocalStack
    plan: Plan
    progress: Progress = lambda _doing: None
    found: Callable[[Result], object] = lambda _result: None
    """Told of the result after each part: hours of measuring are not lost to the end of the process."""
    _views: dict[str, pl.DataFrame] = field(default_factory=dict)

    def run(self) -> Result:
        """All repeats, then the correction. Raises what processes and services raise."""
        plan = self.plan
        result = Result(
            "Kappa and Lambda compared",
            datetime.now(UTC).isoformat(timespec="seconds"),
            {
                "seed": str(plan.seed),
                "events per second": f"{plan.rate:,}",
                "seconds": f"{plan.seconds:,.0f}",
                "batch cadence, seconds": f"{plan.cadence:,.0f}",
                "history": f"{plan.history_days} days of {plan.history_clicks:,} clicks",
                "repeats": str(plan.repeats),
            },
            describe(),
        )
        for number in range(1, plan.repeats + 1):
            for architecture in ARCHITECTURES:
                self.progress(f"repeat {number} of {plan.repeats}: {architecture}, live")
                self._live(result, architecture, number)
                self.found(result)
        self._correct(result)
        self.found(result)
        return result

    def _tenant(self, name: str) -> Settings:
        settings = self.stack.settings.model_copy(update={"namespace": name})
        create_topics(settings)
        return settings

    def _live(self, result: Result, architecture: str, number: int) -> None:
        settings = self._tenant(f"{architecture}{number}")
        with running_all(settings, PROCESSES[architecture]) as processes, self._shared() as shared:
            send_day(settings, WARM_UP, unsafe=True)
            self._until_counted(settings, architecture, processes)
            for meter in (*(p.meter for p in processes.values()), *shared.values()):
                meter.reset()
            since = datetime.now(UTC)
            used: dict[str, Usage] = {}
            runs = self._feed(settings, architecture, processes, used)
            self._until_counted(settings, architecture, processes)
            used |= {name: process.meter.read() for name, process in processes.items()}
            shared_use = {name: meter.read() for name, meter in shared.items()}
        marks = of_kappa(settings) if architecture == "kappa" else of_lambda(settings)
        records = sum(sum(ends.values()) for topic, ends in kafka_ends(settings).items() if topic in TOPICS)
        result.live.append(
            Live(
                architecture,
                records,
                used,
                shared_use,
                stored(settings, *LAYERS[architecture]),
                freshness(settings, marks, since),
                runs,
            )
        )
        self._compare(result, settings, architecture, f"live {number}")

    def _feed(
        self, settings: Settings, architecture: str, processes: Mapping[str, Running], used: dict[str, Usage]
    ) -> int:
        """Sends the day while, of Lambda, a batch run begins at every cadence; the number of such runs."""
        runs = 0
        with ThreadPoolExecutor(1) as pool:
            sending = pool.submit(send_day, settings, self.plan.day, unsafe=True, rate=self.plan.rate)
            due = time.monotonic() + self.plan.cadence
            while not sending.done():
                if architecture == "lambda" and time.monotonic() >= due:
                    due += self.plan.cadence
                    used["batch"] = used.get("batch", Usage()) + measured(settings, BATCH)
                    runs += 1
                for process in processes.values():
                    process.require_alive()
                time.sleep(POLL_SECONDS)
            sending.result()
        if architecture == "lambda" and not runs:
            used["batch"], runs = measured(settings, BATCH), 1
        return runs

    @contextmanager
    def _shared(self) -> Iterator[dict[str, Meter]]:
        supervisor = Supervisor(self.stack.settings)
        meters = {name: Meter(pid) for name in SHARED if (pid := supervisor.status(name).pid)}
        try:
            yield meters
        finally:
            for meter in meters.values():
                meter.stop()

    def _until_counted(self, settings: Settings, architecture: str, processes: Mapping[str, Running]) -> None:
        """Until all that Kafka holds now is in the tables that serve, and in bronze."""
        ends = {topic: kafka_ends(settings)[topic] for topic in TOPICS}
        job = KAPPA if architecture == "kappa" else INGEST
        deadline = time.monotonic() + WAIT_SECONDS
        while not (covers(journal_ends(settings, job), ends) and (job == KAPPA or covers(_served(settings), ends))):
            for process in processes.values():
                process.require_alive()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{architecture} has not counted all within {WAIT_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _compare(self, result: Result, settings: Settings, architecture: str, run: str) -> None:
        """The tables that serve against the reference, and Lambda's against Kappa's of the same run."""
        ends = kafka_ends(settings)
        reference = Reference.read(settings, ends)
        for metric, name in LAMBDA_METRICS.items():
            expected, key = reference.frame(name), table(name).key
            actual = PinnedTable(settings, name).frame() if architecture == "kappa" else serving(settings, metric)
            result.equality.append(
                _compared(run, architecture, "the reference", compare_frames(name, None, expected, actual, key))
            )
            # A fingerprint is of places in a log, and each run has its own: a record without a key lies anywhere.
            kept, told = f"{run} {name}", actual.drop("fingerprint")
            if architecture == "kappa":
                self._views[kept] = told
            elif kept in self._views:
                found = compare_frames(name, None, self._views.pop(kept), told, key)
                result.equality.append(_compared(run, architecture, "kappa", found))
        accounts = [reference.log.accounts[topic] for topic in TOPICS if topic in reference.log.accounts]
        result.late = Late(
            *(sum(getattr(a, each) for a in accounts) for each in ("used", "late", "very_late", "duplicate"))
        )

    def _correct(self, result: Result) -> None:
        """History of some days, counted by Kappa; then each makes its tables anew from bronze."""
        plan, settings = self.plan, self._tenant("history")
        with running_all(settings, PROCESSES["kappa"]) as processes:
            for number, day in enumerate(plan.history(), 1):
                self.progress(f"history: day {number} of {plan.history_days}")
                send_day(settings, day, judged=False)
            self._until_counted(settings, "kappa", processes)
        records = sum(sum(ends.values()) for topic, ends in kafka_ends(settings).items() if topic in TOPICS)
        sizes = [extent(open_table(settings, f"bronze.{topic.removeprefix('shop.')}")).size_bytes for topic in TOPICS]
        result.bronze_bytes_per_record = sum(sizes) / records
        first, last = DAY - timedelta(days=plan.history_days), DAY - timedelta(days=1)
        self.progress("correction: kappa")
        rebuilt = measured(
            settings, REBUILD, "--from", str(first), "--to", str(last), "--tables", *REBUILT, "--publish"
        )
        self.progress("correction: lambda")
        counted = measured(settings, BATCH) + measured(settings, SPEED, "--to-end")
        for architecture, used in (("kappa", rebuilt), ("lambda", counted)):
            result.corrections.append(Correction(architecture, plan.history_days, records, used))
        for architecture in ARCHITECTURES:
            self._compare(result, settings, architecture, "correction")


@contextmanager
def running_all(settings: Settings, modules: Mapping[str, tuple[str, ...]]) -> Iterator[dict[str, Running]]:
    """Processes by name, ended at the block's end."""
    with ExitStack() as started:
        yield {name: started.enter_context(running(settings, *module)) for name, module in modules.items()}


def journal_ends(settings: Settings, job: str) -> Offsets:
    """Up to where the finished micro-batches of `job` reach."""
    ends: dict[str, dict[int, int]] = {}
    path = journal_path(settings, job)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        entry = json.loads(line)
        if entry["event"] == "end":
            for topic, partitions in entry["offsets"].items():
                ends.setdefault(topic, {}).update({int(p): span["to"] for p, span in partitions.items()})
    return ends


def covers(reached: Offsets, ends: Offsets) -> bool:
    """Whether all before `ends` is reached."""
    return all(reached.get(t, {}).get(p, 0) >= end for t, partitions in ends.items() for p, end in partitions.items())


def _served(settings: Settings) -> Offsets:
    """Up to where the serving view that is written last has counted."""
    try:
        return open_layers(settings, next(reversed(LAMBDA_METRICS))).ends
    except TableMissingError:
        return {}


def _compared(run: str, architecture: str, against: str, found: TableComparison) -> Compared:
    counts = (found.rows_compared, found.missing, found.unexpected, found.different)
    return Compared(run, architecture, found.table, against, *counts, found.equal)
