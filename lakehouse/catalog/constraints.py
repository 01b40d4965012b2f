"""What the catalogue's tables refuse: values that no event of their topic may carry, by the contract."""

from collections.abc import Iterator
from typing import Final

from psycopg import sql

from lakehouse.catalog.changelogs import CHANGELOGS
from lakehouse.contracts.events import EARLIEST_TIME, LATEST_TIME, MAX_ID_BYTES, Field, Kind

_CONTROL: Final = r"[\u0001-\u001f\u007f-\u009f]"
"""As a regular expression of PostgreSQL's; its text can't hold U+0000."""


def constraints() -> sql.Composed:
    """The statements that give each table its constraints, whatever it had before.

    Rows that are there already stay, whether or not they satisfy them (`NOT VALID`): a database of an earlier
    version may hold some, and the refresh names them. Any change of such a row has to mend it.
    """
    return sql.SQL(";\n").join(_statements())


def _statements() -> Iterator[sql.Composed]:
    alter = sql.SQL("ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {1}, ADD CONSTRAINT {1} CHECK ({2}) NOT VALID")
    for changelog in CHANGELOGS:
        for table in (changelog.current, changelog.versions):
            for field in changelog.fields:
                if check := _check(field):
                    # The name that PostgreSQL gives a column's own constraint, which earlier versions declared.
                    name = sql.Identifier(f"{table}_{field.name}_check")
                    yield alter.format(sql.Identifier(table), name, check)


def _check(field: Field) -> sql.Composed | None:
    """The condition on a column. A record that is too large, or a text, is left to the refresh to judge."""
    column = sql.Identifier(field.name)
    match field.kind:
        case Kind.ID:
            condition = "octet_length({0}) BETWEEN 1 AND {1} AND {0} !~ {2}"
            return sql.SQL(condition).format(column, sql.Literal(MAX_ID_BYTES), sql.Literal(_CONTROL))
        case Kind.INTEGER:
            bounds = ((sql.SQL(">="), field.minimum), (sql.SQL("<="), field.maximum))
            parts = [sql.SQL(" ").join((column, is_, sql.Literal(n))) for is_, n in bounds if n is not None]
            return sql.SQL(" AND ").join(parts) if parts else None
        case Kind.TIME:
            return sql.SQL("{} BETWEEN {} AND {}").format(column, sql.Literal(EARLIEST_TIME), sql.Literal(LATEST_TIME))
    return None
