"""The catalogue's tables in PostgreSQL."""

import hashlib
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from lakehouse.catalog.constraints import constraints
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_SCHEMA: Final = Path(__file__).with_name("schema.sql")
_LOCK: Final = 7_460_001
"""Advisory lock: one creation or refresh at a time."""


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
    schema = schema_name(settings)
    with connection.transaction():
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        connection.execute("SET TIME ZONE 'UTC'")
    # Only when there is something to do: replacing a trigger waits for every open transaction on its table.
    if not _is_current(connection, schema):
        _migrate(connection, schema)
    return connection


def _is_current(connection: psycopg.Connection, schema: str) -> bool:
    with connection.transaction():
        row = connection.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema,)
        ).fetchone()
    return row is not None and row[0] == _revision()


def _migrate(connection: psycopg.Connection, schema: str) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("SET LOCAL client_min_messages TO warning")
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        connection.execute(_SCHEMA.read_bytes())
        connection.execute(constraints())
        connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), _revision()))


def _revision() -> str:
    """Names the content of the schema file and of the constraints."""
    content = _SCHEMA.read_bytes() + constraints().as_bytes()
    return f"schema.sql {hashlib.sha256(content).hexdigest()[:16]}"


def lock_refresh(connection: psycopg.Connection) -> None:
    """Wait until no other refresh of any catalogue runs; released when `connection` closes."""
    connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK + 1,))
    connection.commit()
