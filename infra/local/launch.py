"""Starts one supervised program: ``python -I launch.py SPEC.json``; the standard library alone.

Before it becomes the program it ends whatever an earlier run of the same program left behind. A driver that was
only frozen, or a child that changed its process group, must not wake up as a second writer. The processes of a
program are known by a marker in their environment, which children inherit.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MARKER = "LAKEHOUSE_PROGRAM"
"""Environment variable that names the program a process belongs to: ``HOME:NAME``."""


def marked(prefix: str) -> Iterator[tuple[int, str]]:
    """Pids, with their markers, of the living processes whose marker begins with `prefix`."""
    wanted = f"{MARKER}={prefix}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        for variable in variables:
            if variable.startswith(wanted):
                yield int(entry.name), variable.decode().partition("=")[2]


def kill_marked(prefix: str) -> None:
    """Kill the processes whose marker begins with `prefix`, and return when none is left."""
    while pids := [pid for pid, _ in marked(prefix)]:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # No program's marker is the beginning of another's: names end with a semicolon.
    kill_marked(spec["marker"])
    os.environ.update(spec["environment"])
    os.environ[MARKER] = spec["marker"]
    # setproctitle, as Airflow uses it, writes over the environment that `marked` reads.
    os.environ["SPT_NOENV"] = "1"
    os.chdir(spec["directory"])
    # Of a job, a link: whatever it leads to later, what has started, and its children, stay with this code.
    os.environ["PYTHONPATH"] = os.getcwd()
    os.execvp(spec["command"][0], spec["command"])  # noqa: S606


if __name__ == "__main__":
    main()
