"""The command, as a user calls it."""

import os
import subprocess

from lakehouse.settings import ROOT, Settings


def lakehouse(settings: Settings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs ``lakehouse`` in the namespace of `settings`; wide enough that no line of a table is cut."""
    return subprocess.run(
        [ROOT / "bin" / "lakehouse", *arguments],
        env=os.environ | {"LAKEHOUSE_NAMESPACE": settings.namespace, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
