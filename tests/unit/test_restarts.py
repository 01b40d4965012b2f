"""How often the supervisor brought a program back, and after what, by its log."""

from lakehouse.runtime.process import ends

KILLED = "2026-03-01 12:00:00,000 WARN exited: job-notifier (terminated by SIGKILL; not expected)\n"
ENDED = "2026-03-01 12:00:00,000 WARN exited: job-notifier (exit status 0; not expected)\n"
FINISHED = "2026-03-01 12:00:00,000 INFO exited: job-notifier (exit status 76; expected)\n"
STOPPED = "2026-03-01 12:00:00,000 INFO stopped: job-notifier (exit status 0)\n"
SPAWNED = "2026-03-01 12:00:00,000 INFO spawned: 'job-notifier' with pid 17\n"
OTHER = "2026-03-01 12:00:00,000 WARN exited: job-notifier-2 (exit status 1; not expected)\n"


def test_none_in_an_empty_log() -> None:
    assert ends("", "job-notifier") == []


def test_each_end_that_nobody_asked_for_counts() -> None:
    log = SPAWNED + KILLED + SPAWNED + ENDED + SPAWNED
    assert ends(log, "job-notifier") == ["terminated by SIGKILL", "exit status 0"]


def test_an_end_that_was_asked_for_does_not_count() -> None:
    assert ends(SPAWNED + FINISHED + SPAWNED, "job-notifier") == []
    assert ends(SPAWNED + KILLED + SPAWNED + FINISHED + SPAWNED, "job-notifier") == ["terminated by SIGKILL"]


def test_those_before_it_was_last_stopped_do_not_count() -> None:
    assert len(ends(SPAWNED + KILLED + SPAWNED + STOPPED + SPAWNED + KILLED + SPAWNED, "job-notifier")) == 1
    assert ends(KILLED + STOPPED, "job-notifier") == []


def test_those_of_a_program_whose_name_begins_alike_do_not_count() -> None:
    assert ends(OTHER, "job-notifier") == []
