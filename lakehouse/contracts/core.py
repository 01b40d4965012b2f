"""Which of the two cores makes bronze, silver and gold."""

from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings, SettingsConfigDict


class Core(StrEnum):
    SPARK = "spark"
    """One Spark driver, with Flink's ingester of transactions."""
    FOLLOWER = "follower"
    """Flink's ingest of all topics, and the follower."""


class _Chosen(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LAKEHOUSE_", env_file=Path(__file__).resolve().parents[2] / ".env", extra="ignore"
    )

    core: Core = Core.SPARK


CORE: Final = _Chosen().core
"""This process's: ``LAKEHOUSE_CORE`` from the environment, or from ``.env``. All of an installation have the same."""
