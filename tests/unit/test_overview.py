"""What is said of a job and of a table, from answers as services give them, and when something is the matter."""

import json
import re
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from lakehouse.compare import TableComparison
from lakehouse.contracts.jobs import JOBS, JobSpec
from lakehouse.contracts.tables import TABLES
from lakehouse.delta.describe import Extent
from lakehouse.overview import Checked, Compared, JobRow, Overview, TableRow, overview, render_overview
from lakehouse.overview.jobs import job_row, questions_of
from lakehouse.overview.page import GATHERING_SECONDS
from lakehouse.overview.tables import table_row
from lakehouse.parity.results import Objective
from lakehouse.questions import OLD_SECONDS, Answers, Known
from lakehouse.report import Link
from lakehouse.runtime.protocol import JobStatus, State
from lakehouse.runtime.wanted import Wanted, WantedState
from lakehouse.settings import load_settings
from lakehouse.spark_checkpoints import SparkBatch

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DASHBOARD, SPARK = JOBS["live_dashboard"], JOBS["spark_lakehouse"]
RUNNING = JobStatus(State.RUNNING)
DOWN = Known(why="kafka does not answer")
EVIL = "<script>alert(1)</script>"


def row_of(job: JobSpec, wanted: Wanted = Wanted.RUNNING, **answers: Any) -> JobRow:
    """Of what `job` answered, just now unless it says otherwise, to questions about its `state`, `lag` and `batch`."""
    known = {f"{what} of {job.name}": told(answer) for what, answer in answers.items()}
    return job_row(load_settings(), job, {"wanted": told({job.name: WantedState(wanted, 1)})} | known, AT)


def told(answer: Any) -> Known:
    return answer if isinstance(answer, Known) else Known(answer, AT)


def dashboard(waiting_seconds: float = 3.0, actual: Any = RUNNING, wanted: Wanted = Wanted.RUNNING) -> JobRow:
    return row_of(DASHBOARD, wanted, state=actual, lag=(12, waiting_seconds))


def test_a_job_is_asked_for_its_state_its_lag_and_if_it_is_spark_s_its_batch() -> None:
    def asked(job: JobSpec) -> dict[str, str]:
        return {q.name.removesuffix(f" of {job.name}"): q.service for q in questions_of(load_settings(), job)}

    assert asked(SPARK) == {"state": "supervisor", "lag": "kafka", "batch": "minio"}
    assert asked(DASHBOARD) == {"state": "flink", "lag": "kafka"}
    assert asked(JOBS["notifier"]) == {"state": "supervisor", "lag": "kafka"}
    assert asked(JOBS["ingest"]) == {"state": "flink"}


def test_a_flink_job_has_its_own_checkpoint() -> None:
    status = JobStatus(
        State.RUNNING,
        "a1b2",
        since_ms=1_772_362_800_000,
        checkpoint="s3://x/y/chk-41",
        checkpoint_ms=1_772_366_390_000,
        restarts=2,
    )
    row = dashboard(actual=status)

    assert (row.checkpoint, row.checkpoint_at) == ("chk-41", AT - timedelta(seconds=10))
    assert (row.since, row.restarts, row.lag, row.waiting_seconds) == (AT - timedelta(hours=1), 2, 12, 3.0)
    assert row.ok


def test_a_spark_job_s_checkpoint_is_its_last_micro_batch() -> None:
    row = row_of(SPARK, state=RUNNING, lag=(0, 0.0), batch=SparkBatch(7, AT))

    assert (row.checkpoint, row.checkpoint_at, row.lag) == ("batch 7", AT, 0)


def test_a_flink_job_is_late_when_its_target_and_a_checkpoint_s_interval_have_passed() -> None:
    patience = DASHBOARD.freshness_seconds + load_settings().flink_checkpoint_seconds

    assert dashboard(patience).fresh is True
    late = dashboard(patience + 0.1)
    assert (late.fresh, late.ok) == (False, False)


def test_a_process_is_late_when_its_target_has_passed() -> None:
    target = SPARK.freshness_seconds
    rows = [row_of(SPARK, state=RUNNING, batch=None, lag=(5, target + beyond)) for beyond in (0, 0.1)]

    assert [row.fresh for row in rows] == [True, False]


def test_what_is_owed_by_a_job_that_is_wanted_stopped_is_not_late() -> None:
    row = dashboard(9_999, JobStatus(State.STOPPED), wanted=Wanted.STOPPED)

    assert (row.fresh, row.healthy, row.ok) == (None, True, True)


@pytest.mark.parametrize(
    ("actual", "wanted"),
    [(State.FAILED, Wanted.RUNNING), (State.RUNNING, Wanted.STOPPED), (State.RESTARTING, Wanted.RUNNING)],
)
def test_a_job_that_is_not_as_wanted_is_not_ok(actual: State, wanted: Wanted) -> None:
    assert dashboard(actual=JobStatus(actual), wanted=wanted).wrong


def test_a_job_whose_engine_never_answered_is_not_known_to_be_wrong() -> None:
    row = dashboard(actual=DOWN)

    assert (row.wanted, row.healthy, row.wrong, row.ok) == (Wanted.RUNNING, None, False, False)
    assert row.unknown == (DOWN.why,)


def test_what_was_not_answered_is_said_once_and_the_rest_stands() -> None:
    row = row_of(SPARK, state=RUNNING, lag=DOWN, batch=DOWN)

    assert (row.actual, row.lag, row.unknown, row.ok) == (State.RUNNING, None, (DOWN.why,), False)


def test_a_job_shows_what_was_known_before_its_engine_fell_silent() -> None:
    before = Known(RUNNING, AT - timedelta(seconds=40), DOWN.why)
    row = dashboard(actual=before)

    assert (row.actual, row.healthy, row.wrong, row.ok) == (State.RUNNING, True, False, False)
    assert row.unknown == (DOWN.why,)
    assert (row.age_seconds["actual"], row.age_seconds["restarts"], row.age_seconds["lag"]) == (40, 40, 0)


def test_what_is_old_is_said_to_be_and_what_was_never_answered_too() -> None:
    old = Known(RUNNING, AT - timedelta(seconds=OLD_SECONDS + 1))
    assert dashboard(actual=replace(old, at=AT - timedelta(seconds=OLD_SECONDS))).ok
    assert dashboard(actual=old).unknown == ("last known 61 s ago",)
    assert row_of(DASHBOARD, state=RUNNING).unknown == ("not known yet",)
    assert row_of(DASHBOARD, state=RUNNING).age_seconds["lag"] is None


def test_a_cell_that_a_job_has_not_has_no_age() -> None:
    assert set(row_of(JOBS["ingest"], state=RUNNING).age_seconds) == {
        "wanted", "actual", "since", "restarts", "checkpoint",
    }  # fmt: skip


def clicks(**answers: Any) -> TableRow:
    known = {"table silver.clicks": Extent(9, 2, 100, 1_234), "quality": {}, "parity": {}, "sampled": {}} | answers
    return table_row(TABLES["silver.clicks"], {name: told(answer) for name, answer in known.items()}, AT)


PASSED = Checked(AT, 9, 20, 0, 1_000, 0.5)
EQUAL = Compared(AT, TableComparison("silver.clicks", 9, 1_234))


def test_a_table_that_was_never_checked_or_compared_is_no_reason_to_worry() -> None:
    row = clicks()

    assert (row.owner, row.quality, row.parity, row.ok) == ("spark_lakehouse", None, None, True)


def test_a_table_that_was_never_written_has_no_extent_and_is_ok() -> None:
    row = clicks(**{"table silver.clicks": None})
    assert (row.extent, row.ok) == (None, True)


def test_a_table_has_its_own_check_and_comparison() -> None:
    others = replace(PASSED, failed=3)
    row = clicks(quality={"silver.clicks": PASSED, "gold.alerts": others}, parity={"silver.clicks": EQUAL})

    assert (row.quality, row.parity, row.ok) == (PASSED, EQUAL, True)


@pytest.mark.parametrize(
    "answers",
    [
        {"quality": {"silver.clicks": replace(PASSED, failed=1)}},
        {"parity": {"silver.clicks": Compared(AT, replace(EQUAL.result, different=1))}},
        {"parity": {"silver.clicks": Compared(AT, replace(EQUAL.result, rows_compared=0))}},
        {"sampled": {"silver.clicks": Objective(90, 2, 1)}},
        {"quality": DOWN},
        {"table silver.clicks": DOWN},
    ],
)
def test_a_table_that_failed_differs_or_is_not_known_is_not_ok(answers: dict[str, Any]) -> None:
    assert not clicks(**answers).ok


def test_a_row_that_differed_and_is_right_again_is_counted_and_no_worry() -> None:
    row = clicks(sampled={"silver.clicks": Objective(90, 2, 0)})

    assert row.ok
    assert re.search(r"2 of 90 differ in 24 h.*right again", page(tables=(row,)), re.DOTALL)


def page(*jobs: JobRow, tables: tuple[TableRow, ...] = ()) -> str:
    return render_overview(Overview(AT, False, jobs, tables), [Link("Flink", "http://127.0.0.1:29081")], 10)


def test_the_page_shows_jobs_tables_and_links() -> None:
    table = clicks(
        quality={"silver.clicks": PASSED},
        parity={"silver.clicks": EQUAL},
        sampled={"silver.clicks": Objective(90, 0, 0)},
    )
    shown = page(dashboard(), tables=(table,))

    assert "Every job is as wanted" in shown
    for text in (
        "live_dashboard",
        "3 s",
        "1,234",
        "passed",
        "2,000 rows/s",
        "equal",
        "0 of 90 differ in 24 h",
        "http://127.0.0.1:29081",
    ):
        assert text in shown
    assert 'href="explain?table=silver.clicks"' in shown


def test_the_page_names_what_to_look_at() -> None:
    shown = page(dashboard(900), dashboard(), tables=(clicks(quality={"silver.clicks": replace(PASSED, failed=2)}),))

    assert "Look at live_dashboard, silver.clicks" in shown
    assert "2 failed" in shown


def test_the_page_says_of_a_row_what_is_not_known() -> None:
    down = row_of(SPARK, state=DOWN, lag=DOWN, batch=DOWN)
    shown = page(down, tables=(clicks(quality=DOWN),))

    assert "Not everything is known" in shown
    assert shown.count(DOWN.why or "") == 1 + 2, "once for all, and in each row"
    assert "never" in page(tables=(clicks(),))
    assert "never" not in page(tables=(clicks(quality=DOWN, parity=DOWN),))


def test_each_cell_of_the_page_has_its_age() -> None:
    minutes = Known(RUNNING, AT - timedelta(minutes=7))
    shown = page(dashboard(actual=minutes), tables=(clicks(**{"table silver.clicks": Known()}),))

    assert shown.count('<div class="age">7 min ago</div>') == 4, "is, since, checkpoint, restarts"
    assert shown.count("0.0 s ago</div>") == 3 + 3, "wanted, oldest owed, lag; quality, parity, drawn at random"
    assert shown.count('<div class="age">not known yet</div>') == 1, "the table's size"


@pytest.mark.parametrize(("gathering", "seconds"), [(True, GATHERING_SECONDS), (False, 10)])
def test_the_page_looks_again_by_itself_and_soon_while_answers_come(gathering: bool, seconds: int) -> None:
    shown = render_overview(Overview(AT, gathering, (), ()), [], 10)

    assert f'<meta http-equiv="refresh" content="{seconds}">' in shown
    assert ("newer answers are on their way" in shown) is gathering


def test_the_page_names_the_code_of_a_job_that_starts_from_another_than_the_installed_one() -> None:
    assert "code 0123456789ab" in page(dashboard(actual=replace(RUNNING, code="0123456789ab")))
    assert "not what is installed" not in page(dashboard())


def test_what_comes_from_outside_is_escaped() -> None:
    broken = dashboard(actual=JobStatus(State.FAILED, detail=EVIL))
    shown = page(broken, replace(broken, unknown=(EVIL,), checkpoint=EVIL), tables=(replace(clicks(), owner=EVIL),))

    assert "<script" not in shown


def test_the_data_hold_what_the_page_shows() -> None:
    table = clicks(quality={"silver.clicks": PASSED}, parity={"silver.clicks": EQUAL})
    found = json.loads(Overview(AT, True, (dashboard(),), (table,)).to_json())

    assert (found["at"], found["gathering"]) == ("2026-03-01T12:00:00+00:00", True)
    (job,), (told,) = found["jobs"], found["tables"]
    assert (job["job"], job["wanted"], job["actual"], job["fresh"], job["ok"]) == (
        "live_dashboard", "running", "running", True, True,
    )  # fmt: skip
    assert told["extent"] == {"version": 9, "files": 2, "size_bytes": 100, "rows": 1_234}
    assert told["quality"]["rows_per_second"] == 2_000
    assert (told["quality"]["ok"], told["parity"]["ok"], told["parity"]["rows_compared"]) == (True, True, 1_234)
    assert job["age_seconds"] == dict.fromkeys(
        ("wanted", "actual", "since", "restarts", "checkpoint", "lag", "waiting_seconds"), 0.0
    )
    assert told["age_seconds"] == dict.fromkeys(("extent", "quality", "parity", "sampled"), 0.0)


def test_services_that_take_a_connection_and_never_answer_hold_up_no_reader() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = dict.fromkeys(("kafka_port", "minio_port", "postgres_port", "flink_port"), silent.getsockname()[1])
        settings = load_settings().model_copy(update=ports)
        answers, before, began = Answers(0), threading.active_count(), monotonic()

        shown = [overview(settings, JOBS.values(), answers) for _ in range(20)]

        assert monotonic() - began < 20, "each of 20 looks waits for none of the services"
        assert threading.active_count() - before <= len({"postgres", "flink", "kafka", "minio", "supervisor"})
        assert shown[-1].gathering
        assert {row.wanted for row in shown[-1].jobs} == {None}
        assert all(row.unknown for row in (*shown[-1].jobs, *shown[-1].tables))
