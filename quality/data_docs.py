"""Data Docs: static pages of every suite and its newest result, readable without a network.

Great Expectations' own pages load scripts, styles and a logo that counts its viewers from seven hosts, and show an
empty index without them; these are rendered from the same validation results.
"""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lakehouse.contracts.tables import table
from lakehouse.report.page import render_page

_TEMPLATES: Final = Path(__file__).parent / "templates"


def write_data_docs(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes the page of one table (a `TableQuality` as a dictionary) and the index of all that were checked.

    Several processes may do so at once: the lock keeps an index from being replaced by an older one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        name = result["table"]
        _replace(folder / f"{name}.json", json.dumps(result, indent=2, ensure_ascii=False))
        _replace(folder / f"{name}.html", render_page(_TEMPLATES, "table.html.j2", t=result, contract=table(name)))
        newest = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
        _replace(folder / "index.html", render_page(_TEMPLATES, "index.html.j2", tables=newest))


def _replace(file: Path, text: str) -> None:
    """Readers see the old file or the new one, never half of it."""
    new = file.with_suffix(file.suffix + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)
