"""The catalogue's tables in PostgreSQL."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from lakehouse.contracts.events import PRODUCTS, PROFILES, EventContract
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_SCHEMA: Final = Path(__file__).with_name("schema.sql")
_LOCK: Final = 7_460_001
"""Advisory lock: one creation or refresh at a time."""


@dataclass(frozen=True, slots=True)
class Changelog:
    """A table of current rows, the table of their versions, and the topic that publishes these."""

    current: str
    versions: str
    contract: EventContract

    @property
    def columns(self) -> tuple[str, ...]:
        """The payload's columns, which both tables have: key first, `valid_from` last."""
        return tuple(f.name for f in self.contract.fields if f.name not in ("event_id", "event_time"))


CHANGELOGS: Final = (
    Changelog("products", "product_versions", PRODUCTS),
    Changelog("profiles", "profile_versions", PROFILES),
)


def schema_name(settings: Settings) -> str:
    """The PostgreSQL schema of this namespace's catalogue."""
    return settings.prefixed("catalog", "_")


def connect(settings: Settings) -> psycopg.Connection:
    """A connection whose search path is the catalogue's schema, in UTC; creates the tables where they are missing.

    Raises:
        ServiceDownError: PostgreSQL does not answer.
    """
    try:
        connection = psycopg.connect(settings.postgres_dsn, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise ServiceDownError("postgres", f"{settings.host}:{settings.postgres_port}") from error
    schema = sql.Identifier(schema_name(settings))
    with connection.transaction():
        connection.execute(sql.SQL("SET search_path TO {}").format(schema))
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("SET client_min_messages TO warning")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        connection.execute(_SCHEMA.read_bytes())
    return connection


def lock_refresh(connection: psycopg.Connection) -> None:
    """Wait until no other refresh of any catalogue runs; released when `connection` closes."""
    connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK + 1,))
    connection.commit()
