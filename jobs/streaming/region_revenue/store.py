"""Results and offsets in PostgreSQL, and the claims that keep a former owner of a partition from writing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

_SCHEMA: Final = Path(__file__).with_name("schema.sql")
IDLE_SECONDS: Final = 10
"""PostgreSQL ends a session that has been silent for so long within a transaction. A process frozen there would
keep its partitions' new owner waiting for ever."""

_CLAIM: Final = """
INSERT INTO positions AS held (topic, partition, epoch) VALUES (%(topic)s, %(partition)s, 1)
ON CONFLICT (topic, partition) DO UPDATE SET epoch = held.epoch + 1
RETURNING epoch, next_offset
"""
_MOVE: Final = """
UPDATE positions SET next_offset = %s WHERE topic = %s AND partition = %s AND epoch = %s
"""
_KEEP: Final = """
INSERT INTO results AS held
    (epoch, topic, partition, "offset", reason, user_id, event_id, event_time, region, amount_cents, record_hash)
SELECT * FROM unnest(
    %s::bigint[], %s::text[], %s::integer[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
    %s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (topic, partition, "offset") DO UPDATE SET
    (reason, user_id, event_id, event_time, region, amount_cents, record_hash, epoch, processed_at)
    = (excluded.reason, excluded.user_id, excluded.event_id, excluded.event_time, excluded.region,
       excluded.amount_cents, excluded.record_hash, excluded.epoch, excluded.processed_at)
"""


class Claim(NamedTuple):
    """The right to write a partition's results, until somebody claims it anew. `next_offset`: None for one of which
    nothing was kept."""

    epoch: int
    next_offset: int | None


class Result(NamedTuple):
    """What was made of a record; `reason` says why it is no purchase, and the fields are None then."""

    topic: str
    partition: int
    offset: int
    reason: str | None
    user_id: str | None
    event_id: str | None
    event_time: datetime | None
    region: str | None
    amount_cents: int | None
    record_hash: int


class FencedError(RuntimeError):
    """Somebody else has claimed the partition since; nothing was written."""

    def __init__(self, topic: str, partition: int, epoch: int) -> None:
        super().__init__(f"{topic}[{partition}] was claimed by somebody else after epoch {epoch}")


def schema_name(settings: Settings) -> str:
    """The PostgreSQL schema of this namespace's results."""
    return settings.prefixed("region_revenue", "_")


def connect(settings: Settings) -> psycopg.Connection:
    """A connection whose search path is the results' schema, in UTC; creates what is missing.

    Raises:
        ServiceDownError: PostgreSQL does not answer.
    """
    try:
        connection = psycopg.connect(
            settings.postgres_dsn,
            connect_timeout=5,
            autocommit=True,
            options=f"-c TimeZone=UTC -c idle_in_transaction_session_timeout={IDLE_SECONDS}s",
        )
    except psycopg.OperationalError as error:
        raise ServiceDownError("postgres", f"{settings.host}:{settings.postgres_port}") from error
    schema = sql.Identifier(schema_name(settings))
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('region_revenue schema'))")
        connection.execute("SET client_min_messages TO warning")
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
        connection.execute(sql.SQL("SET search_path TO {}").format(schema))
        connection.execute(_SCHEMA.read_bytes())
    return connection


def known_topic(connection: psycopg.Connection, topic: str, now: str) -> str:
    """The id of the topic that the positions are of; `now`, its present id, where none was noted."""
    connection.execute("INSERT INTO topics VALUES (%s, %s) ON CONFLICT DO NOTHING", (topic, now))
    row = connection.execute("SELECT topic_id FROM topics WHERE topic = %s", (topic,)).fetchone()
    assert row is not None  # noqa: S101  it is there now
    return str(row[0])


def kept_positions(connection: psycopg.Connection, topic: str) -> dict[int, int]:
    """The offset that comes next, of each partition of which something was kept."""
    rows = connection.execute(
        "SELECT partition, next_offset FROM positions WHERE topic = %s AND next_offset IS NOT NULL", (topic,)
    )
    return dict(rows.fetchall())


def begin(connection: psycopg.Connection, topic: str, topic_id: str, positions: Mapping[int, int], owner: str) -> None:
    """Claims the partitions for `owner`, and lets them go on at `positions` of the topic with this id.

    What was made of a topic of this name that is gone stays, under its name and id: its records' places are others'.
    """
    with connection.transaction():
        before = known_topic(connection, topic, topic_id)
        for partition, held in claim(connection, topic, positions, owner).items():
            connection.execute(_MOVE, (positions[partition], topic, partition, held.epoch))
        if before != topic_id:
            connection.execute("UPDATE results SET topic = %s WHERE topic = %s", (f"{topic}@{before}", topic))
            connection.execute("UPDATE topics SET topic_id = %s WHERE topic = %s", (topic_id, topic))


def claim(connection: psycopg.Connection, topic: str, partitions: Iterable[int], owner: str) -> dict[int, Claim]:
    """Take over the partitions: whoever had them can write no more.

    Waits for a transaction of theirs that is under way, so that the offsets returned are final.
    """
    claims = {}
    with connection.transaction():
        # In one order everywhere, as two who lock the same rows in two orders would wait for each other.
        for partition in sorted(partitions):
            row = connection.execute(_CLAIM, {"topic": topic, "partition": partition}).fetchone()
            assert row is not None  # noqa: S101  RETURNING of an upsert always has a row
            claims[partition] = Claim(*row)
            connection.execute(
                "INSERT INTO claims (topic, partition, epoch, owner) VALUES (%s, %s, %s, %s)",
                (topic, partition, row[0], owner),
            )
    return claims


def require_own(connection: psycopg.Connection, topic: str, epochs: Mapping[int, int]) -> None:
    """Raises FencedError if somebody else has claimed one of the partitions since their `epochs`."""
    rows = connection.execute("SELECT partition, epoch FROM positions WHERE topic = %s", (topic,)).fetchall()
    newest: dict[int, int] = dict(rows)
    for partition, epoch in epochs.items():
        if newest.get(partition) != epoch:
            raise FencedError(topic, partition, epoch)


def set_back(
    connection: psycopg.Connection, topic: str, offsets: Mapping[int, int], owner: str
) -> dict[int, int | None]:
    """Claims the partitions for `owner`, and lets each that is beyond its offset go on there; returns where each was.

    Whoever had them can write no more, learns it, claims them anew and begins there. Nothing is skipped: a partition
    that is not as far yet, or has nothing, stays.
    """
    with connection.transaction():
        claims = claim(connection, topic, offsets, owner)
        for partition, held in claims.items():
            if held.next_offset is not None and held.next_offset > offsets[partition]:
                connection.execute(_MOVE, (offsets[partition], topic, partition, held.epoch))
    return {partition: held.next_offset for partition, held in claims.items()}


def keep(
    connection: psycopg.Connection,
    topic: str,
    results: Sequence[Result],
    positions: Mapping[int, int],
    epochs: Mapping[int, int],
) -> None:
    """Write results and the offsets that come next (`positions`), all or nothing.

    A process killed at any point before the commit leaves neither, and the records are read again; after it, both
    are there, and they are not. What Kafka's group has committed is never asked.

    Raises:
        FencedError: a partition was claimed by somebody else.
    """
    with connection.transaction():
        # First the positions: this locks them against a claim until the results are in.
        for partition, offset in sorted(positions.items()):
            moved = connection.execute(_MOVE, (offset, topic, partition, epochs[partition]))
            if not moved.rowcount:
                raise FencedError(topic, partition, epochs[partition])
        # One statement, not a pipeline of many: a session amid a pipeline doesn't count as idle, whoever froze.
        columns = zip(*results, strict=True)
        connection.execute(_KEEP, [[epochs[result.partition] for result in results], *map(list, columns)])
