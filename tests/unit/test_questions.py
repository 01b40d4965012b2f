"""Questions to services: the last answers are at hand whatever those do, and nothing is asked twice at a time."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lakehouse.questions import Answers, Known, Question, Unanswered, answer, answer_within
from lakehouse.services import ServiceDownError
from tests.waiting import until


def down() -> None:
    raise ServiceDownError("minio", "http://127.0.0.1:1")


def broken() -> None:
    raise KeyError("a secret")


DOWN = "minio does not answer at http://127.0.0.1:1; start it with: lakehouse up minio"


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Questions that wait for it hang until the test sets it, or has ended."""
    event = threading.Event()
    yield event
    event.set()


def asked(name: str, ask: Callable[[], Any], service: str = "minio") -> Question:
    return Question(service, name, ask)


def gathered(answers: Answers, *questions: Question) -> dict[str, Known]:
    answers.gather(questions)
    answers.wait(30)
    assert not answers.gathering
    return answers.known()


def test_a_question_is_answered_or_says_in_a_sentence_why_not() -> None:
    assert (answer("one", lambda: 1), answer("none", lambda: None)) == (1, None)
    assert answer("down", down) == Unanswered(DOWN)


def test_a_fault_of_the_program_is_logged_and_shown_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    assert answer("broken", broken) == Unanswered("KeyError: its stack trace is in the log")
    assert "a secret" in caplog.text


def test_a_question_may_be_given_a_time(released: threading.Event) -> None:
    assert answer_within(30, "quick", lambda: "here") == "here"
    assert answer_within(0.05, "hangs", released.wait) == Unanswered("no answer within 0.05 s")


def test_nothing_is_known_until_it_was_asked() -> None:
    assert Answers(0).known() == {}
    assert Known().age_seconds(datetime.now(UTC)) is None


def test_an_answer_has_the_time_at_which_it_came() -> None:
    before = datetime.now(UTC)
    known = gathered(Answers(0), asked("one", lambda: 1), asked("none", lambda: None))
    assert (known["one"].value, known["one"].why, known["none"].value) == (1, None, None)
    assert known["one"].at is not None
    assert before <= known["one"].at <= known["none"].at <= datetime.now(UTC)
    assert known["one"].age_seconds(known["one"].at + timedelta(seconds=7)) == 7


def test_what_was_known_stays_when_the_next_time_there_is_no_answer() -> None:
    answers = Answers(0)
    first = gathered(answers, asked("size", lambda: 5))["size"]
    assert gathered(answers, asked("size", down))["size"] == Known(5, first.at, DOWN)
    again = gathered(answers, asked("size", lambda: 6))["size"]
    assert (again.value, again.why) == (6, None)


def test_what_is_known_is_at_hand_while_a_new_answer_is_on_its_way(released: threading.Event) -> None:
    answers = Answers(0)
    gathered(answers, asked("size", lambda: 5))
    answers.gather([asked("size", lambda: released.wait() and 6)])
    answers.wait(0.05)
    assert (answers.gathering, answers.known()["size"].value) == (True, 5)
    released.set()
    answers.wait(30)
    assert answers.known()["size"].value == 6


def test_however_many_look_a_service_is_asked_once_at_a_time_by_one_thread(released: threading.Event) -> None:
    answers, times = Answers(0), []

    def hangs() -> None:
        times.append(1)
        released.wait()

    before = threading.active_count()
    lookers = [threading.Thread(target=answers.gather, args=([asked("hangs", hangs)],)) for _ in range(20)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    until(lambda: bool(times))
    assert threading.active_count() == before + 1
    assert times == [1]


def test_a_service_that_hangs_holds_up_its_own_answers_alone(released: threading.Event) -> None:
    answers, counts = Answers(0), iter(range(9))
    questions = [asked("hangs", released.wait), asked("after it", lambda: 1)]
    questions.append(asked("lag", lambda: next(counts), "kafka"))
    for seen in (0, 1, 2):
        answers.gather(questions)
        until(lambda: answers.known().get("lag", Known()).value == seen or None)  # noqa: B023
    assert set(answers.known()) == {"lag"}
    released.set()
    until(lambda: "after it" in answers.known())


def test_two_gatherings_begin_no_closer_than_the_pause() -> None:
    answers, counts = Answers(3600), iter(range(9))
    for _ in range(3):
        assert gathered(answers, asked("count", lambda: next(counts)))["count"].value == 0
