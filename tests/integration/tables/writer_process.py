"""A writer of a shared table as a process that waits until it is told to write."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lakehouse.settings import ROOT

HEAP = "512m"
"""Of each Spark among them."""


class Writer:
    """``python -m tests.integration.MODULE ARGUMENTS``; `port`: where it finds MinIO, if not where it is."""

    def __init__(self, module: str, *arguments: object, port: int | None = None) -> None:
        environment = os.environ | {"LAKEHOUSE_SPARK_DRIVER_MEMORY": HEAP}
        environment |= {"LAKEHOUSE_MINIO_PORT": str(port)} if port else {}
        # A file: nobody reads along, and a full pipe would stop the writer.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.{module}", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self._line() == "ready\n"

    def tell(self, line: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        return json.loads(self._line())

    def finish(self, seconds: float = 600) -> str:
        """Waits for its end; what it complained of if it failed."""
        self._process.communicate(timeout=seconds)
        return self._complaint() if self._process.returncode else ""

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._complaint()
        return line

    def _complaint(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-3000:]


@contextmanager
def ready(*waiting: Writer) -> Iterator[None]:
    """The writers, when all are ready to begin; none is left behind."""
    try:
        for writer in waiting:
            writer.wait_until_ready()
        yield
    finally:
        for writer in waiting:
            writer.end()
