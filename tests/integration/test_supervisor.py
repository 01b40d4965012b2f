"""The supervisor does what it was told last, also to a program that ends by itself again and again."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakehouse.runtime.supervisor import Supervisor, _UnixConnection
from lakehouse.settings import load_settings
from tests.waiting import until

CONFIGURATION = """
[unix_http_server]
file={folder}/s.sock
[supervisord]
logfile={folder}/s.log
pidfile={folder}/s.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:ends]
command=/bin/sh -c "sleep 1.1; exit 1"
autostart=false
autorestart=true
startsecs=1
"""


@pytest.fixture
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "s.conf").write_text(CONFIGURATION.format(folder=folder))
    command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(folder / "s.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        speaker = Supervisor(load_settings())
        speaker.socket = Path(folder / "s.sock")
        until(speaker.alive, 60, "the supervisor answers")
        yield speaker
        process.terminate()


@pytest.mark.parametrize("_round", range(3))  # of five the moment is missed in one
def test_a_program_that_ends_while_it_is_told_to_stop_is_not_started_again(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, _round: int
) -> None:
    """The supervisor has taken the call's connection before the program ends, and reads the call after that."""
    log, connect, waits = supervisor.socket.with_suffix(".log"), _UnixConnection.connect, True

    def connect_and_wait(connection: _UnixConnection) -> None:
        nonlocal waits
        connect(connection)
        if waits:
            waits = False
            until(lambda: "exited: ends" in log.read_text(), 60, "it has ended", every=0.001)

    supervisor.start("ends")
    monkeypatch.setattr(_UnixConnection, "connect", connect_and_wait)
    supervisor.stop("ends")
    # Out of this state, and of no other that it can be in, the supervisor brings no program by itself.
    assert (supervisor.status("ends").state, supervisor.status("ends").pid) == ("STOPPED", None)
