"""A plain consumer's process: how it ends, and what its log says last."""

import signal
import subprocess
import sys
import threading

import pytest

from jobs.streaming.plain import side_by_side
from lakehouse.runtime.process import ERROR_LINE
from lakehouse.settings import ROOT

PROCESS = """
import logging, sys
from jobs.streaming.plain import serve

def run(settings, stopping):
    print("begun", flush=True)
    {body}

sys.exit(serve(logging.getLogger("mine"), run, LookupError))
"""


def started(body: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROCESS.format(body=body)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_it_ends_with_0_when_it_is_told_to() -> None:
    process = started("stopping.wait()")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("error", "said"), [("LookupError('look there')", "look there"), ("ValueError('b09')", "ValueError: b09")]
)
def test_an_error_ends_it_with_another_status_and_is_the_last_in_its_log(error: str, said: str) -> None:
    process = started(f"raise {error}")
    _, log = process.communicate(timeout=30)
    assert process.returncode == 1
    assert ERROR_LINE.findall(log)[-1].endswith(f"ERROR mine: {said}")


def test_when_one_of_its_parts_fails_the_others_stop_and_the_error_is_raised() -> None:
    stopping, stopped = threading.Event(), threading.Event()

    def lives() -> None:
        stopping.wait()
        stopped.set()

    def dies() -> None:
        raise KeyError("b09")

    with pytest.raises(KeyError, match="b09"):
        side_by_side([lives, dies, lives], stopping)
    assert stopped.is_set()


def test_it_has_ended_when_all_of_its_parts_have() -> None:
    ended: list[int] = []
    side_by_side([lambda: ended.append(1), lambda: ended.append(2)], threading.Event())
    assert sorted(ended) == [1, 2]
