"""The local stack as a user meets it: `bin/lakehouse` on a home and ports of its own."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from infra.local import launch, programs
from infra.local.isolated import isolated_environment
from lakehouse.runtime.supervisor import Supervisor
from lakehouse.settings import ROOT, Settings
from tests.conftest import Stack, new_home

RECOVERY_SECONDS = 10


@dataclass(frozen=True)
class Installation:
    """A home of its own, driven by the command line in a process of its own."""

    environment: dict[str, str]

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (ROOT / "bin" / "lakehouse", *arguments),
            env=os.environ | self.environment | {"COLUMNS": "200"} | extra,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self, *services: str) -> None:
        done = self.run("up", *services)
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def home(self) -> Path:
        return Path(self.environment["LAKEHOUSE_HOME"])

    @property
    def settings(self) -> Settings:
        base = int(self.environment["LAKEHOUSE_PORT_BASE"])
        return Settings(_env_file=self.home / "credentials.env", home=self.home, port_base=base)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.settings)

    def processes(self) -> list[psutil.Process]:
        """The supervisor and all that descend from it."""
        supervisor = psutil.Process(self.supervisor.supervisor_pid())
        return [supervisor, *supervisor.children(recursive=True)]

    def marked(self) -> set[str]:
        """Names of the programs that have a process, by its mark."""
        return {mark.partition(":")[2].rstrip(";") for _, mark in launch.marked(f"{self.home}:")}


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def _new_installation() -> Iterator[Installation]:
    made = Installation(isolated_environment(new_home()))
    yield made
    made.run("down")
    shutil.rmtree(made.home)


@pytest.fixture
def installation() -> Iterator[Installation]:
    yield from _new_installation()


@pytest.fixture
def second_installation() -> Iterator[Installation]:
    yield from _new_installation()


def test_up_starts_the_core_and_down_leaves_no_process(installation: Installation) -> None:
    installation.up("core")
    status = installation.run("status").stdout
    for service in ("kafka", "minio", "postgres", "valkey"):
        assert re.search(rf"^{service} +ready", status, re.MULTILINE), status
    processes = installation.processes()
    assert installation.marked() == {"kafka", "minio", "postgres", "valkey"}

    down = installation.run("down")

    assert down.returncode == 0, down.stderr
    assert alive(processes) == []
    assert installation.marked() == set()
    assert (installation.home / "data" / "postgres" / "PG_VERSION").exists(), "down keeps the data"


def test_up_again_leaves_what_runs_alone(installation: Installation) -> None:
    installation.up("valkey")
    before = installation.supervisor.status("valkey").pid
    installation.up("valkey", "minio")
    assert installation.supervisor.status("valkey").pid == before
    assert installation.supervisor.status("minio").running


def test_down_leaves_no_process_after_kill_9_of_the_supervisor(installation: Installation) -> None:
    installation.up("postgres", "minio", "valkey")
    processes = installation.processes()
    processes[0].kill()

    down = installation.run("down")

    assert down.returncode == 0, down.stderr
    assert alive(processes) == []
    assert installation.marked() == set()


def test_up_recovers_from_kill_9_of_the_supervisor(installation: Installation) -> None:
    installation.up("postgres", "valkey")
    processes = installation.processes()
    processes[0].kill()

    installation.up("postgres", "valkey")

    assert alive(processes) == []
    assert installation.supervisor.status("postgres").running


def test_down_ends_a_supervisor_that_is_frozen(installation: Installation) -> None:
    installation.up("valkey")
    processes = installation.processes()
    processes[0].suspend()

    down = installation.run("down")

    assert down.returncode == 0, down.stderr
    assert alive(processes) == []


def test_a_killed_service_is_back_within_ten_seconds(installation: Installation) -> None:
    installation.up("valkey")
    killed = installation.supervisor.status("valkey").pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)

    deadline = time.monotonic() + RECOVERY_SECONDS
    while (state := installation.supervisor.status("valkey")).pid in (killed, None):
        assert time.monotonic() < deadline, state
        time.sleep(0.1)


def test_a_taken_port_is_one_sentence_and_nothing_is_started(installation: Installation) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", installation.settings.redis_port))
        taken.listen()
        up = installation.run("up", "minio", "valkey")
    assert up.returncode == 1
    assert f"Port {installation.settings.redis_port}, which valkey needs, is taken by" in up.stderr
    assert f"(pid {os.getpid()})" in up.stderr
    assert "LAKEHOUSE_REDIS_PORT" in up.stderr
    assert len(up.stderr.strip().splitlines()) == 1
    assert not (installation.home / "run" / "supervisor.pid").exists()
    assert installation.marked() == set()


def test_too_little_memory_is_one_sentence_and_nothing_is_started(installation: Installation) -> None:
    up = installation.run("up", "flink", LAKEHOUSE_FLINK_TASKMANAGER_MEMORY="9000000m")
    assert up.returncode == 1
    assert re.fullmatch(r"Starting this takes \d+ MB of memory and \d+ MB are free: .*\n", up.stderr), up.stderr
    assert not (installation.home / "run" / "supervisor.pid").exists()
    assert installation.marked() == set()


def test_an_unknown_service_names_the_known_ones(installation: Installation) -> None:
    up = installation.run("up", "kafak")
    assert up.returncode == 1
    assert "There is no service 'kafak'; there are: " in up.stderr
    assert "kafka, minio, postgres, valkey" in up.stderr


def test_credentials_are_the_owners_alone_and_differ_per_installation(
    installation: Installation, second_installation: Installation
) -> None:
    for made in (installation, second_installation):
        made.up("valkey")
        assert stat.S_IMODE((made.home / "credentials.env").stat().st_mode) == 0o600
        for file in (made.home / "run").rglob("*.json"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    first, second = (
        dict(line.split("=", 1) for line in (made.home / "credentials.env").read_text().splitlines())
        for made in (installation, second_installation)
    )
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())

    installation.run("down")
    installation.up("valkey")
    again = (installation.home / "credentials.env").read_text()
    assert again == "".join(f"{name}={value}\n" for name, value in first.items())


def test_status_names_a_stopped_service(installation: Installation) -> None:
    installation.up("valkey", "minio")
    installation.supervisor.stop("valkey")
    status = installation.run("status")
    assert status.returncode == 3
    assert re.search(r"^valkey +stopped", status.stdout, re.MULTILINE), status.stdout
    assert re.search(r"Not ready: [^.]*\bvalkey\b", status.stdout), status.stdout
    assert re.search(r"^minio +ready", status.stdout, re.MULTILINE), status.stdout


def test_a_home_whose_socket_path_is_too_long_works(installation: Installation) -> None:
    deep = installation.home / ("deep" * 20) / ("deeper" * 10)
    long = Installation(installation.environment | {"LAKEHOUSE_HOME": str(deep)})
    try:
        long.up("valkey")
        assert stat.S_IMODE(long.supervisor.socket.parent.stat().st_mode) == 0o700
    finally:
        long.run("down")
    assert long.marked() == set()


def test_a_program_ends_what_its_last_run_left_behind(tmp_path: Path) -> None:
    """A child in a session of its own escapes its parent's process group; it must not go on beside the new run."""
    child = "import os, time; os.setsid(); time.sleep(600)"
    parent = (
        "import subprocess, sys;"
        f"child = [sys.executable, '-c', {child!r}];"
        "quiet = subprocess.DEVNULL;"
        "print(subprocess.Popen(child, stdout=quiet, stderr=quiet).pid)"
    )
    spec = tmp_path / "spec.json"
    command = [sys.executable, "-c", parent]
    spec.write_text(
        json.dumps({"marker": f"{tmp_path}:it;", "command": command, "environment": {}, "directory": str(tmp_path)})
    )

    def run() -> int:
        done = subprocess.run(
            (sys.executable, "-I", "-S", launch.__file__, str(spec)), capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    first = run()
    assert dict(launch.marked(f"{tmp_path}:")).keys() == {first}
    second = run()
    assert dict(launch.marked(f"{tmp_path}:")).keys() == {second}
    launch.kill_marked(f"{tmp_path}:")
    assert not list(launch.marked(f"{tmp_path}:"))


def test_a_service_whose_program_has_changed_since_it_started_is_started_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, section = stack.ensure("minio"), programs.section
    before = Supervisor(settings).status("minio").pid

    def changed(settings: Settings, program: programs.Program, *, once: bool = False) -> str:
        text = section(settings, program, once=once)
        return text.replace("backups=1", "backups=2") if program.name == "minio" else text

    monkeypatch.setattr(programs, "section", changed)
    stack.ensure("minio")

    assert Supervisor(settings).status("minio").pid not in (None, before)
