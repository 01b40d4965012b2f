"""`.env.example` says every setting with its default, and nothing else."""

import re
from pathlib import Path

from pydantic import SecretStr

from lakehouse.contracts.core import DEFAULT
from lakehouse.settings import ROOT, Settings


def _documented() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^# LAKEHOUSE_([A-Z_]+)=(.*)$", text, re.MULTILINE))


def _default(name: str) -> str:
    value = getattr(Settings(_env_file=None), name)  # type: ignore[call-arg]
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def test_every_setting_is_documented_with_its_default(monkeypatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LAKEHOUSE_{name.upper()}", raising=False)
    defaults = {name.upper(): _default(name) for name in Settings.model_fields}
    assert _documented() == defaults | {"CORE": DEFAULT, "SPARK": "on"}


def test_copied_as_it_is_it_sets_nothing() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(not line or line.startswith("# ") for line in lines)
