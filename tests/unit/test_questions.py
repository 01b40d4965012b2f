"""Questions asked at once: each answered, or said why not, within the time; none asked twice at a time."""

import threading
from time import monotonic

import pytest

from lakehouse.questions import Questions, Unanswered
from lakehouse.services import ServiceDownError


def down() -> None:
    raise ServiceDownError("minio", "http://127.0.0.1:1")


def broken() -> None:
    raise KeyError("a secret")


def test_each_question_has_its_own_answer() -> None:
    asked = Questions().ask({"one": lambda: 1, "none": lambda: None, "down": down}, 5)

    assert asked["one"] == 1
    assert asked["none"] is None
    assert asked["down"] == Unanswered("minio does not answer at http://127.0.0.1:1; start it with: lakehouse up minio")


def test_a_fault_of_the_program_is_logged_and_shown_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    asked = Questions().ask({"broken": broken}, 5)

    assert asked["broken"] == Unanswered("KeyError: its stack trace is in the log")
    assert "a secret" in caplog.text


def test_a_question_that_hangs_delays_the_others_no_longer_than_the_time_given() -> None:
    released = threading.Event()
    began = monotonic()

    asked = Questions().ask({"hangs": released.wait, "quick": lambda: "here"}, 0.2)

    released.set()
    assert monotonic() - began < 5
    assert asked == {"hangs": Unanswered("no answer within 0.2 s"), "quick": "here"}


def test_who_asks_again_waits_for_the_question_that_is_still_open() -> None:
    questions, released, asked = Questions(), threading.Event(), []

    def slow() -> str:
        asked.append("once")
        released.wait()
        return "at last"

    assert questions.ask({"slow": slow}, 0.05)["slow"] == Unanswered("no answer within 0.05 s")
    threading.Timer(0.05, released.set).start()

    assert questions.ask({"slow": slow}, 30)["slow"] == "at last"
    assert asked == ["once"]


def test_an_answer_is_not_kept_for_who_asks_later() -> None:
    questions, answers = Questions(), iter((1, 2))

    assert questions.ask({"count": lambda: next(answers)}, 5) == {"count": 1}
    assert questions.ask({"count": lambda: next(answers)}, 5) == {"count": 2}
