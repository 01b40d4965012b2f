"""Which of the two cores makes bronze, silver and gold."""

from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout that this library runs from."""
HOME: Final = ROOT / ".lakehouse"
"""Where an installation lies that says nothing else."""


class Core(StrEnum):
    SPARK = "spark"
    """One Spark driver, with Flink's ingester of transactions."""
    FOLLOWER = "follower"
    """Flink's ingest of all topics, and the follower."""


DEFAULT: Final = Core.FOLLOWER
"""Of a new installation."""


class _Chosen(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LAKEHOUSE_", env_file=ROOT / ".env", env_ignore_empty=True, extra="ignore"
    )

    home: Path = HOME
    core: Core | None = None
    spark: Literal["on", "off"] = "on"


def recorded_core(home: Path) -> Core | None:
    """Whose tables an installation has, as it has written down; None: nothing yet."""
    file = home / "core"
    return Core(file.read_text(encoding="utf-8").strip()) if file.exists() else None


def record_core(home: Path, core: Core) -> None:
    """Has every process of the installation that starts from now on be of this core."""
    home.mkdir(parents=True, exist_ok=True)
    fresh = home / ".core"
    fresh.write_text(core + "\n", encoding="utf-8")
    fresh.replace(home / "core")


def _of_installation(chosen: _Chosen) -> Core:
    if recorded := recorded_core(chosen.home):
        return recorded
    # One that was made before any wrote it down is the Spark driver's.
    return Core.SPARK if (chosen.home / "data").exists() else DEFAULT


_CHOSEN: Final = _Chosen()
CORE: Final = _CHOSEN.core or _of_installation(_CHOSEN)
"""This process's: ``LAKEHOUSE_CORE`` from the environment, or from ``.env``; without it, what the installation has
written down, or is to. All of an installation have the same."""
SPARK_STREAM: Final = CORE is Core.FOLLOWER and _CHOSEN.spark == "on"
"""Whether Spark's own stream is among the jobs that an installation consists of. Where memory is short,
``LAKEHOUSE_SPARK=off`` leaves it out; beside a Spark driver it is not."""
SET_BY_HAND: Final = _CHOSEN.core is not None
"""Whether ``LAKEHOUSE_CORE`` says so."""
