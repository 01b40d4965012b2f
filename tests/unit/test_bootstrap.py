"""The installation: what is missing is one sentence, and steps run when, and only when, they have to."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra import bootstrap
from infra.bootstrap import MissingError, Step


def install_with_path(cache: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """Run the installation where only these programs are on the path."""
    binaries = cache / "binaries"
    binaries.mkdir(parents=True)
    for program in programs:
        found = shutil.which(program)
        assert found, program
        (binaries / program).symlink_to(found)
    environment = {"PATH": str(binaries), "LAKEHOUSE_CACHE": str(cache), "HOME": str(cache)}
    command = (sys.executable, bootstrap.__file__)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_missing_git_is_one_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    done = install_with_path(tmp_path)
    assert done.returncode == 1
    assert done.stderr == "install: git is needed: install it with your package manager.\n"
    assert not (tmp_path / "stamps").exists()


def test_missing_maven_without_a_package_manager_is_one_sentence(tmp_path: Path) -> None:
    done = install_with_path(tmp_path, "git")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("install: Missing: ")
    assert "Maven; install with your package manager (Debian: `apt-get install" in done.stderr
    assert not (tmp_path / "stamps").exists()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bootstrap, "CACHE", tmp_path)
    for directory in ("stamps", "logs", "build"):
        (tmp_path / directory).mkdir()
    return tmp_path


def counting_step(cache: Path, inputs: str) -> tuple[Step, list[str]]:
    """A step that makes a file, and the list that grows each time it runs."""
    runs: list[str] = []

    def run() -> None:
        runs.append(inputs)
        (cache / "made").write_text(inputs)

    return Step("step", "a step", (inputs,), cache / "made", run), runs


def test_a_step_with_the_inputs_of_its_last_success_is_skipped(cache: Path) -> None:
    step, runs = counting_step(cache, "one")
    bootstrap.do(step)
    bootstrap.do(step)
    assert runs == ["one"]


def test_a_step_runs_again_when_its_inputs_change(cache: Path) -> None:
    for inputs in ("one", "two", "one"):
        step, runs = counting_step(cache, inputs)
        bootstrap.do(step)
        assert runs == [inputs]


def test_a_step_runs_again_when_its_output_is_gone(cache: Path) -> None:
    step, runs = counting_step(cache, "one")
    bootstrap.do(step)
    (cache / "made").unlink()
    bootstrap.do(step)
    assert runs == ["one", "one"]


def test_a_step_that_failed_runs_again_and_shows_what_its_command_said(cache: Path) -> None:
    def fail() -> None:
        (cache / "made").write_text("half")
        bootstrap.run(sys.executable, "-c", "import sys; sys.exit('no route to host')")

    with pytest.raises(MissingError, match="no route to host"):
        bootstrap.do(Step("step", "a step", ("one",), cache / "made", fail))

    step, runs = counting_step(cache, "one")
    bootstrap.do(step)
    assert runs == ["one"]


def test_a_second_installation_into_one_cache_waits_for_the_first(tmp_path: Path) -> None:
    with (tmp_path / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        environment = os.environ | {"LAKEHOUSE_CACHE": str(tmp_path), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            (sys.executable, bootstrap.__file__), env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
        process.wait()
    assert "waiting for another installation into the same cache" in line
    assert not list((tmp_path / "stamps").iterdir())
