"""A proxy before a store, as a process of its own: delta-rs holds Python's lock while it waits for an answer.

Such a module, run by ``python -m``, says its port in a line and then a line whenever it does what it is for.
"""

import subprocess
import sys
from typing import IO, Self


class ProxyProcess:
    """Runs `module` with `arguments` while the block lasts. `port`: where it listens on loopback.

    Afterwards `count` says how often it did what it is for.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self.port = int(self._said.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self.count = len(self._said.readlines())
        self._process.wait()

    @property
    def _said(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout
