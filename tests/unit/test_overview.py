"""What is said of a job and of a table, from answers as services give them, and when something is the matter."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.catalog import JOBS
from lakehouse.compare import TableComparison
from lakehouse.contracts.tables import TABLES
from lakehouse.delta.describe import Extent
from lakehouse.overview import Checked, Compared, JobRow, Overview, TableRow, render_overview
from lakehouse.overview.jobs import job_row, questions_of
from lakehouse.overview.tables import table_row
from lakehouse.parity.results import Objective
from lakehouse.questions import Unanswered
from lakehouse.report import Link
from lakehouse.runtime.protocol import JobStatus, State
from lakehouse.runtime.reconcile import JobView
from lakehouse.runtime.wanted import Wanted, WantedState
from lakehouse.settings import load_settings
from lakehouse.spark_checkpoints import SparkBatch

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DASHBOARD, SPARK = JOBS["live_dashboard"], JOBS["spark_lakehouse"]
RUNNING = JobStatus(State.RUNNING)
DOWN = Unanswered("kafka does not answer")
EVIL = "<script>alert(1)</script>"


def seen(job: Any, actual: JobStatus, wanted: Wanted = Wanted.RUNNING) -> JobView:
    return JobView(job, WantedState(wanted, 1), actual)


def dashboard(waiting_seconds: float = 3.0, actual: JobStatus = RUNNING, **wanted: Any) -> JobRow:
    answers = {
        "state of live_dashboard": seen(DASHBOARD, actual, **wanted),
        "lag of live_dashboard": (12, waiting_seconds),
    }
    return job_row(load_settings(), DASHBOARD, answers)


def test_a_job_is_asked_for_its_state_its_lag_and_if_it_is_spark_s_its_batch() -> None:
    settings = load_settings()

    assert set(questions_of(settings, SPARK)) == {f"{what} of spark_lakehouse" for what in ("state", "lag", "batch")}
    assert set(questions_of(settings, DASHBOARD)) == {"state of live_dashboard", "lag of live_dashboard"}
    assert set(questions_of(settings, JOBS["notifier"])) == {"state of notifier", "lag of notifier"}
    assert set(questions_of(settings, JOBS["ingest_clicks"])) == {"state of ingest_clicks"}


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
    answers = {
        "state of spark_lakehouse": seen(SPARK, RUNNING),
        "lag of spark_lakehouse": (0, 0.0),
        "batch of spark_lakehouse": SparkBatch(7, AT),
    }
    row = job_row(load_settings(), SPARK, answers)

    assert (row.checkpoint, row.checkpoint_at, row.lag) == ("batch 7", AT, 0)


def test_a_flink_job_is_late_when_its_target_and_a_checkpoint_s_interval_have_passed() -> None:
    patience = DASHBOARD.freshness_seconds + load_settings().flink_checkpoint_seconds

    assert dashboard(patience).fresh is True
    late = dashboard(patience + 0.1)
    assert (late.fresh, late.ok) == (False, False)


def test_a_process_is_late_when_its_target_has_passed() -> None:
    answers = {"state of spark_lakehouse": seen(SPARK, RUNNING), "batch of spark_lakehouse": None}
    rows = [
        job_row(load_settings(), SPARK, answers | {"lag of spark_lakehouse": (5, SPARK.freshness_seconds + beyond)})
        for beyond in (0, 0.1)
    ]

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


def test_a_job_whose_engine_does_not_answer_is_not_known_to_be_wrong() -> None:
    row = dashboard(actual=JobStatus(State.UNKNOWN, detail=DOWN.why))

    assert (row.wanted, row.healthy, row.unknown, row.wrong, row.ok) == (
        Wanted.RUNNING,
        None,
        (DOWN.why,),
        False,
        False,
    )


def test_what_was_not_answered_is_said_once_and_the_rest_stands() -> None:
    answers = {"state of spark_lakehouse": seen(SPARK, RUNNING)} | {
        f"{what} of spark_lakehouse": DOWN for what in ("lag", "batch")
    }
    row = job_row(load_settings(), SPARK, answers)

    assert (row.actual, row.lag, row.unknown, row.ok) == (State.RUNNING, None, (DOWN.why,), False)


def clicks(**answers: Any) -> TableRow:
    known = {"table silver.clicks": Extent(9, 2, 100, 1_234), "quality": {}, "parity": {}, "sampled": {}}
    return table_row(TABLES["silver.clicks"], known | answers)


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
    return render_overview(Overview(AT, 0.4, jobs, tables), [Link("Flink", "http://127.0.0.1:29081")])


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
    shown = page(job_row(load_settings(), SPARK, {"state of spark_lakehouse": DOWN}), tables=(clicks(quality=DOWN),))

    assert "Not everything is known" in shown
    assert shown.count(DOWN.why) == 1 + 2, "once for all, and in each row"
    assert "never" in page(tables=(clicks(),))


def test_the_page_names_the_code_of_a_job_that_starts_from_another_than_the_installed_one() -> None:
    assert "code 0123456789ab" in page(dashboard(actual=replace(RUNNING, code="0123456789ab")))
    assert "not what is installed" not in page(dashboard())


def test_what_comes_from_outside_is_escaped() -> None:
    broken = dashboard(actual=JobStatus(State.FAILED, detail=EVIL))
    shown = page(broken, replace(broken, unknown=(EVIL,), checkpoint=EVIL), tables=(replace(clicks(), owner=EVIL),))

    assert "<script" not in shown


def test_the_data_hold_what_the_page_shows() -> None:
    table = clicks(quality={"silver.clicks": PASSED}, parity={"silver.clicks": EQUAL})
    found = json.loads(Overview(AT, 0.4, (dashboard(),), (table,)).to_json())

    assert found["at"] == "2026-03-01T12:00:00+00:00"
    (job,), (told,) = found["jobs"], found["tables"]
    assert (job["job"], job["wanted"], job["actual"], job["fresh"], job["ok"]) == (
        "live_dashboard", "running", "running", True, True,
    )  # fmt: skip
    assert told["extent"] == {"version": 9, "files": 2, "size_bytes": 100, "rows": 1_234}
    assert told["quality"]["rows_per_second"] == 2_000
    assert (told["quality"]["ok"], told["parity"]["ok"], told["parity"]["rows_compared"]) == (True, True, 1_234)
