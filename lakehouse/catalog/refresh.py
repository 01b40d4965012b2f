"""Publishing the catalogue's versions to Kafka."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from lakehouse.catalog.database import CHANGELOGS, Changelog, connect, lock_refresh
from lakehouse.contracts.times import format_time
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.settings import Settings

BATCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """Versions sent. `repeated` of them may have been sent before, by a refresh that didn't end."""

    products: int
    profiles: int
    repeated: int


def refresh(settings: Settings, batch: int = BATCH) -> RefreshResult:
    """Send every version that isn't known to have arrived to ``shop.products`` and ``shop.profiles``.

    A version's event id and event time are committed before it is sent, and the mark that it was sent after Kafka
    has confirmed it. A refresh that dies in between leaves versions that the next one sends again, as the same
    events: they count as duplicates. Versions of one key are sent in the order in which they were made.

    Raises:
        ServiceDownError: PostgreSQL or Kafka does not answer.
        DeliveryError: Kafka did not confirm; what was sent will be sent again.
    """
    counts: dict[str, int] = {}
    repeated = 0
    with connect(settings) as connection, Sender(settings) as sender:
        lock_refresh(connection)
        for changelog in CHANGELOGS:
            counts[changelog.current] = 0
            repeated += _claim(connection, changelog)
            while rows := _unsent(connection, changelog, batch):
                sender.send([_record(changelog, row) for row in rows])
                sender.flush()
                _mark_sent(connection, changelog, [row["seq"] for row in rows])
                counts[changelog.current] += len(rows)
    return RefreshResult(counts["products"], counts["profiles"], repeated)


def _claim(connection: psycopg.Connection, changelog: Changelog) -> int:
    """Give each new version its event time; returns how many had theirs from an earlier refresh."""
    table = sql.Identifier(changelog.versions)
    with connection.transaction():
        earlier = connection.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE NOT sent AND published_at IS NOT NULL").format(table)
        ).fetchone()
        new = sql.SQL("UPDATE {} SET published_at = clock_timestamp() WHERE NOT sent AND published_at IS NULL")
        connection.execute(new.format(table))
    return int(earlier[0]) if earlier else 0


def _unsent(connection: psycopg.Connection, changelog: Changelog, limit: int) -> list[dict[str, Any]]:
    # Versions committed since the claim have no event time yet and wait for the next refresh. A version with a
    # lower number that commits late is of another key, and is found by its own mark, not by a high-water mark.
    query = sql.SQL("SELECT * FROM {} WHERE NOT sent AND published_at IS NOT NULL ORDER BY seq LIMIT {}").format(
        sql.Identifier(changelog.versions), limit
    )
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def _mark_sent(connection: psycopg.Connection, changelog: Changelog, numbers: list[int]) -> None:
    query = sql.SQL("UPDATE {} SET sent = true WHERE seq = ANY(%s)").format(sql.Identifier(changelog.versions))
    with connection.transaction():
        connection.execute(query, (numbers,))


def _record(changelog: Changelog, row: dict[str, Any]) -> Outgoing:
    key = row[changelog.contract.key]
    payload = {"event_id": f"{changelog.current}-{row['seq']}", "event_time": _wire(row["published_at"])}
    payload |= {name: row[name] for name in changelog.columns} | {"valid_from": _wire(row["valid_from"])}
    return changelog.contract.topic, key.encode(), json.dumps(payload, ensure_ascii=False).encode()


def _wire(moment: datetime) -> str:
    return format_time(round(moment.timestamp() * 1000))
