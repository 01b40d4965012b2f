"""Filling the catalogue with the generated shop's products and profiles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import psycopg
from psycopg import sql

from lakehouse.catalog.changelogs import CHANGELOGS, Changelog
from lakehouse.catalog.database import connect
from lakehouse.generator.catalogue import base_products, base_profiles, product_changes, profile_changes
from lakehouse.settings import Settings

# Versions that aren't the newest of their key go to the history only.
_HISTORY: Final = """
INSERT INTO {versions} ({columns})
SELECT {columns} FROM (
    SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY valid_from DESC) AS age FROM staged
) AS s
WHERE (s.age > 1 OR s.valid_from <= (SELECT c.valid_from FROM {current} AS c WHERE c.{key} = s.{key}))
  AND NOT EXISTS (SELECT FROM {versions} AS v WHERE ({v_columns}) = ({s_columns}))
ORDER BY s.valid_from, s.{key}
"""
# The newest become the current row; the trigger records them.
_CURRENT: Final = """
INSERT INTO {current} AS c ({columns})
SELECT DISTINCT ON ({key}) {columns} FROM staged ORDER BY {key}, valid_from DESC
ON CONFLICT ({key}) DO UPDATE SET ({columns}) = ({excluded}) WHERE EXCLUDED.valid_from > c.valid_from
"""


@dataclass(frozen=True, slots=True)
class Seeded:
    """Versions that are new in the catalogue; `refresh` publishes them."""

    products: int
    profiles: int


def seed_catalogue(settings: Settings, seed: int, day: date, *, learnt_late: bool = False) -> Seeded:
    """Record the generated products and profiles with their history up to the end of `day`.

    With `learnt_late`, record what the shop learnt of `day` only afterwards: product versions that begin within
    the day and were left out before. What is recorded already stays as it is, so that repeating adds nothing.

    Raises:
        ServiceDownError: PostgreSQL does not answer.
    """
    staged: dict[str, Iterable[Sequence[Any]]] = (
        {"products": product_changes(seed, day, learnt_late=True), "profiles": ()}
        if learnt_late
        else {
            "products": base_products(seed) + product_changes(seed, day, learnt_late=False),
            "profiles": base_profiles(seed) + profile_changes(seed, day),
        }
    )
    with connect(settings) as connection, connection.transaction():
        added = {c.current: _record(connection, c, staged[c.current]) for c in CHANGELOGS}
    return Seeded(**added)


def _record(connection: psycopg.Connection, changelog: Changelog, rows: Iterable[Sequence[Any]]) -> int:
    columns = changelog.columns
    names = {
        "current": sql.Identifier(changelog.current),
        "versions": sql.Identifier(changelog.versions),
        "key": sql.Identifier(changelog.contract.key),
        "columns": _listed(columns),
        "v_columns": _listed(columns, "v"),
        "s_columns": _listed(columns, "s"),
        "excluded": _listed(columns, "excluded"),
    }
    before = _count(connection, changelog)
    create = "CREATE TEMP TABLE staged ON COMMIT DROP AS SELECT {columns} FROM {current} LIMIT 0"
    connection.execute(sql.SQL("DROP TABLE IF EXISTS staged"))
    connection.execute(sql.SQL(create).format(**names))
    with connection.cursor() as cursor, cursor.copy("COPY staged FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    connection.execute(sql.SQL(_HISTORY).format(**names))
    connection.execute(sql.SQL(_CURRENT).format(**names))
    return _count(connection, changelog) - before


def _listed(columns: Iterable[str], table: str | None = None) -> sql.Composed:
    qualified = ((table, name) if table else (name,) for name in columns)
    return sql.SQL(", ").join(sql.Identifier(*parts) for parts in qualified)


def _count(connection: psycopg.Connection, changelog: Changelog) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(changelog.versions))).fetchone()
    return int(row[0]) if row else 0
