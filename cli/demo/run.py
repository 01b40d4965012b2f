"""The demo: from an empty installation, or from where the last run ended, to a checked result.

Operators' work goes through Airflow: the demo triggers the DAGs that they would, and waits for their runs.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from cli.demo.memory import MemoryPeak
from cli.demo.progress import Progress, Step
from cli.demo.state import DemoDay, DemoState, load_state, save_state
from experiments.architectures.beside import compared_with_kappa, report_folder, run_layers
from experiments.architectures.report import write as write_architectures
from experiments.architectures.result import Live, Result
from infra.local.stack import LocalStack
from lakehouse.airflow_api import AirflowClient, DagRunFailedError
from lakehouse.catalog import seed_catalogue
from lakehouse.compare import Comparison, compare
from lakehouse.compare.segments import Offsets
from lakehouse.contracts.jobs import DEFAULT_JOBS
from lakehouse.contracts.owners import BACKFILL
from lakehouse.drained import DrainState, wait_until_drained
from lakehouse.generator.fraud_scenes import MIN_TRANSACTIONS
from lakehouse.generator.traffic import ShopDay
from lakehouse.kafka.topics import create_topics
from lakehouse.ledger import Audit, audit
from lakehouse.produce import send_csv, send_day
from lakehouse.runtime.reconcile import view
from lakehouse.runtime.wanted import Wanted, migrate, set_wanted
from lakehouse.sample import demo_sample
from lakehouse.settings import Settings, load_settings

START: Final = "start the stack"
CATALOGUE: Final = "record the catalogue"
JOBS_STEP: Final = "start the streaming jobs"
SAMPLE: Final = "send a real shop's click-stream"
GENERATED: Final = "send the generated day"
LEARNT_LATE: Final = "publish what was learnt late"
DRAIN: Final = "wait until everything has arrived"
MARTS: Final = "build the marts"
LAMBDA: Final = "count all by Lambda, beside"
COMPARE: Final = "compare with the reference"
AUDIT: Final = "audit the ledger"
PLAN: Final = (START, CATALOGUE, JOBS_STEP, SAMPLE, GENERATED, LEARNT_LATE, DRAIN, MARTS, LAMBDA, COMPARE, AUDIT)

DAGS: Final = ("catalog_refresh", "streaming_jobs", BACKFILL)
SAMPLE_DAYS: Final = (date(2024, 3, 13), date(2024, 3, 14))
"""Days of the sample whose marts the demo builds; an operator may backfill the others as well."""
_DAG_SECONDS: Final = 300.0
_DRAIN_SECONDS: Final = 1_800.0
BROKEN_SHARE: Final = 0.002


class Demo:
    """One run. Every step may be repeated: what an interrupted run did already, it does again without harm."""

    def __init__(self, clicks: int, seed: int) -> None:
        self.progress = Progress(PLAN)
        self._stack = LocalStack(load_settings())
        self.memory = MemoryPeak(self._stack.supervisor)
        self._clicks = clicks
        self._seed = seed
        self.settings: Settings = self._stack.settings
        self.state = DemoState()
        self.day = DemoDay("", 0, 0)
        self.architectures: Result | None = None
        self.architectures_page: Path | None = None

    def run(self) -> tuple[Comparison, Audit]:
        """All steps of `PLAN`, in order; raises what they raise."""
        with self.memory:
            self._start()
            with AirflowClient(self.settings) as airflow:
                airflow.wait_for_dags(DAGS)
                self._record_catalogue(airflow)
                self._start_jobs(airflow)
                self._send_sample()
                self._send_day()
                self._publish_learnt_late(airflow)
                ends = self._drain()
                # Most of a backfill is waiting: Lambda's layers, which need no Airflow, run meanwhile.
                with ThreadPoolExecutor(1) as pool:
                    layers = pool.submit(run_layers, self.settings)
                    self._build_marts(airflow)
                    self._compare_architectures(layers)
            return self._compare(ends), self._audit(ends)

    @property
    def mart_days(self) -> list[date]:
        """The days whose marts this and earlier runs have built."""
        return [*SAMPLE_DAYS, *(date.fromisoformat(day.day) for day in self.state.days)]

    def _start(self) -> None:
        with self.progress.step(START) as step:
            self._stack.up(report=lambda name, event: step.say(f"{name} {event}"))
            load_settings.cache_clear()
            self.settings = load_settings()
            create_topics(self.settings)
            migrate(self.settings)
            self.state = load_state(self.settings)
            first = not self.state.days
            self.day = self.state.current_day(self._clicks if first else max(1, self._clicks // 10), self._seed)
            save_state(self.settings, self.state)
            step.say("")

    def _record_catalogue(self, airflow: AirflowClient) -> None:
        with self.progress.step(CATALOGUE) as step:
            step.say("products and profiles into PostgreSQL")
            seeded = seed_catalogue(self.settings, self.state.days[0].seed, date.fromisoformat(self.day.day))
            _run_dag(airflow, "catalog_refresh", step)
            step.say(f"{seeded.products:,} product and {seeded.profiles:,} profile versions")

    def _start_jobs(self, airflow: AirflowClient) -> None:
        with self.progress.step(JOBS_STEP) as step:
            for job in DEFAULT_JOBS:
                set_wanted(self.settings, job, Wanted.RUNNING, "demo")
            airflow.unpause("streaming_jobs")
            airflow.trigger("streaming_jobs")
            _wait_for_jobs(self.settings, step)
            step.say(", ".join(DEFAULT_JOBS))

    def _send_sample(self) -> None:
        with self.progress.step(SAMPLE) as step:
            if self.state.sample_verified:
                step.say("sent and verified by an earlier run")
                return
            path, mapping = demo_sample(self.settings)
            fed = send_csv(self.settings, path, mapping, on_progress=_counter(step))
            step.say(f"{fed.sent.total():,} records of {path.name}")

    def _send_day(self) -> None:
        with self.progress.step(GENERATED) as step:
            day = ShopDay(
                day=date.fromisoformat(self.day.day),
                clicks=self.day.clicks,
                purchases=max(1, self.day.clicks // 100),
                transactions=max(MIN_TRANSACTIONS, self.day.clicks // 100),
                seed=self.day.seed,
                broken=BROKEN_SHARE,
            )
            fed = send_day(self.settings, day, judged=False, unsafe=True, on_progress=_counter(step))
            step.say(f"{fed.sent.total():,} records of {day.day}, {fed.records_per_second:,.0f} per second")

    def _publish_learnt_late(self, airflow: AirflowClient) -> None:
        with self.progress.step(LEARNT_LATE) as step:
            day = date.fromisoformat(self.day.day)
            seeded = seed_catalogue(self.settings, self.state.days[0].seed, day, learnt_late=True)
            _run_dag(airflow, "catalog_refresh", step)
            step.say(f"{seeded.products:,} product versions that begin within the day")

    def _drain(self) -> Offsets:
        with self.progress.step(DRAIN) as step:

            def say(state: DrainState) -> None:
                hop = state.waiting_for
                behind = f", {hop.records:,} records behind" if hop and hop.records else ""
                step.say(f"at {hop.name}{behind}" if hop else "")

            return wait_until_drained(self.settings, _DRAIN_SECONDS, say)

    def _build_marts(self, airflow: AirflowClient) -> None:
        """As an operator would: by Airflow's own backfill."""
        with self.progress.step(MARTS) as step:
            airflow.unpause(BACKFILL)
            days = [*([] if self.state.sample_verified else [SAMPLE_DAYS]), [date.fromisoformat(self.day.day)]]
            for span in days:
                airflow.backfill(BACKFILL, span[0], span[-1])
                _wait_for_backfill(airflow, span[0], span[-1], step)
            step.say(", ".join(day.isoformat() for span in days for day in span))

    def _compare_architectures(self, layers: Future[Live]) -> None:
        with self.progress.step(LAMBDA) as step:
            step.say("waiting for its layers")
            self.architectures = compared_with_kappa(self.settings, layers.result())
            self.architectures_page = write_architectures(self.architectures, report_folder(self.settings))
            rows = sum(each.rows for each in self.architectures.equality)
            step.say(f"{rows:,} rows of {len(self.architectures.equality)} tables compared with Kappa's")

    def _compare(self, ends: Offsets) -> Comparison:
        with self.progress.step(COMPARE) as step:
            result = compare(self.settings, (), ends, step.say, mart_days=self.mart_days)
            step.say(f"{sum(t.rows_compared for t in result.tables):,} rows in {len(result.tables)} tables")
        return result

    def _audit(self, ends: Offsets) -> Audit:
        with self.progress.step(AUDIT) as step:
            result = audit(self.settings, ends, progress=step.say)
            step.say(result.summary)
        return result

    def mark_verified(self) -> None:
        """The run's result was right: the next one begins a new day."""
        self.state.sample_verified = self.day.verified = True
        save_state(self.settings, self.state)


def _counter(step: Step) -> Callable[[int], None]:
    total = 0

    def count(records: int) -> None:
        nonlocal total
        total += records
        step.say(f"{total:,} records")

    return count


def _run_dag(airflow: AirflowClient, dag_id: str, step: Step) -> None:
    airflow.unpause(dag_id)
    step.say(f"DAG {dag_id}")
    airflow.wait(airflow.trigger(dag_id), _DAG_SECONDS, lambda tasks: step.say(_told(dag_id, tasks)))


def _wait_for_jobs(settings: Settings, step: Step) -> None:
    """Until the DAG has brought every job to run: the run that we triggered, or a scheduled one before it."""
    deadline = monotonic() + _DAG_SECONDS
    while missing := [job.name for job in DEFAULT_JOBS.values() if not view(settings, job).healthy]:
        if monotonic() > deadline:
            raise TimeoutError(f"not running after {_DAG_SECONDS:.0f} s: {', '.join(missing)}; see: lakehouse job list")
        step.say(f"waiting for {', '.join(missing)}")
        sleep(1)


def _told(dag_id: str, tasks: dict[str, str]) -> str:
    return f"DAG {dag_id}: {sum(state == 'success' for state in tasks.values())} of {len(tasks)} tasks done"


def _wait_for_backfill(airflow: AirflowClient, first: date, last: date, step: Step) -> None:
    runs = airflow.backfill_runs(BACKFILL, first, last)
    for run in runs:
        airflow.wait(run, _DAG_SECONDS, lambda tasks, run=run: step.say(_told(run.run_id, tasks)))
    if not runs:
        raise DagRunFailedError(BACKFILL, f"backfill of {first}", "missing", {}, airflow.url)
