"""Publishing the catalogue's versions to Kafka."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from lakehouse.catalog.changelogs import CHANGELOGS, Changelog
from lakehouse.catalog.database import connect, lock_refresh, schema_name
from lakehouse.contracts.times import format_time, parse_time
from lakehouse.contracts.validation import Invalid, validate
from lakehouse.kafka.sender import Outgoing, Sender
from lakehouse.settings import Settings

BATCH: Final = 10_000
NAMED: Final = 20
_SHOWN: Final = 80
"""Characters of a value that a message shows."""


REMEDY: Final = (
    "Correct each (UPDATE its table SET ... WHERE seq = its number), or delete it where a later version put it right; "
    "every refresh looks at them again."
)
"""What ends it that versions are set aside."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """A version that is no valid event: where it is (`table` with its schema), its key as `name 'value'`, and why."""

    table: str
    seq: int
    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.table}, seq {self.seq}, {self.key}: {self.why}"


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """Versions sent. `repeated` of them may have been sent before, by a refresh that didn't end.

    `named` holds the first `NAMED` of those that are `set_aside`.
    """

    products: int
    profiles: int
    repeated: int
    set_aside: int
    named: tuple[SetAside, ...]


@dataclass(frozen=True, slots=True)
class _Version:
    """A version that isn't known to have arrived. `content` is its row as PostgreSQL writes it in JSON, which has a
    text for every time that a `timestamptz` holds; a `datetime` has none for ``infinity`` or the year 10000."""

    seq: int
    content: dict[str, Any]
    event_time: str
    claimed: bool
    """Whether `event_time` is an earlier refresh's, which may have sent the version."""


def refresh(settings: Settings, batch: int = BATCH) -> RefreshResult:
    """Send every version that isn't known to have arrived to ``shop.products`` and ``shop.profiles``.

    A version's event id and event time are committed before it is sent, and the mark that it was sent after Kafka
    has confirmed it. A refresh that dies in between leaves versions that the next one sends again, as the same
    events: they count as duplicates. Versions of one key are sent in the order in which they were made.

    A version that is no valid event is set aside, and the others go on: it is named, stays unsent, and each refresh
    judges it anew until somebody has corrected or deleted it.

    Raises:
        ServiceDownError: PostgreSQL or Kafka does not answer.
        DeliveryError: Kafka did not confirm; what was sent will be sent again.
    """
    counts: Counter[str] = Counter()
    named: list[SetAside] = []
    with connect(settings) as connection, Sender(settings) as sender:
        lock_refresh(connection)
        for changelog in CHANGELOGS:
            seq, newest = 0, _newest(connection, changelog)
            while versions := _unsent(connection, changelog, seq, newest, batch):
                seq = versions[-1].seq
                valid: list[_Version] = []
                records: list[Outgoing] = []
                for version in versions:
                    record = _record(changelog, version)
                    verdict = validate(*record, int(time.time() * 1000))
                    if not isinstance(verdict, Invalid):
                        valid.append(version)
                        records.append(record)
                        continue
                    counts["set_aside"] += 1
                    if len(named) < NAMED:
                        named.append(_set_aside(settings, changelog, version, record, verdict))
                _claim(connection, changelog, [version for version in valid if not version.claimed])
                sender.send(records)
                sender.flush()
                _mark_sent(connection, changelog, [version.seq for version in valid])
                counts[changelog.current] += len(valid)
                counts["repeated"] += sum(version.claimed for version in valid)
    return RefreshResult(counts["products"], counts["profiles"], counts["repeated"], counts["set_aside"], tuple(named))


def _newest(connection: psycopg.Connection, changelog: Changelog) -> int:
    query = sql.SQL("SELECT coalesce(max(seq), 0) FROM {}").format(sql.Identifier(changelog.versions))
    with connection.transaction():
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _unsent(
    connection: psycopg.Connection, changelog: Changelog, after: int, newest: int, limit: int
) -> list[_Version]:
    # A version with a number that lies behind may be committed after this look. It is of another key, and the next
    # refresh finds it by its own mark: there is no high-water mark between refreshes.
    query = sql.SQL("""
        SELECT seq, row_to_json(v) AS content, published_at IS NOT NULL AS claimed,
               to_json(coalesce(published_at, statement_timestamp()::timestamptz(3))) AS event_time
        FROM {} AS v WHERE NOT sent AND seq > {} AND seq <= {} ORDER BY seq LIMIT {}
    """).format(sql.Identifier(changelog.versions), after, newest, limit)
    with connection.transaction(), connection.cursor(row_factory=class_row(_Version)) as cursor:
        return cursor.execute(query).fetchall()


def _claim(connection: psycopg.Connection, changelog: Changelog, versions: Sequence[_Version]) -> None:
    """Commit the event times of `versions`: what is sent from now on is the same event, however often.

    Only valid ones get theirs. A table's constraint refuses any change of a row that breaks it.
    """
    query = sql.SQL("""
        UPDATE {} AS v SET published_at = c.at FROM unnest(%s::bigint[], %s::timestamptz[]) AS c (seq, at)
        WHERE v.seq = c.seq
    """).format(sql.Identifier(changelog.versions))
    with connection.transaction():
        connection.execute(query, ([v.seq for v in versions], [v.event_time for v in versions]))


def _mark_sent(connection: psycopg.Connection, changelog: Changelog, numbers: list[int]) -> None:
    query = sql.SQL("UPDATE {} SET sent = true WHERE seq = ANY(%s)").format(sql.Identifier(changelog.versions))
    with connection.transaction():
        connection.execute(query, (numbers,))


def _record(changelog: Changelog, version: _Version) -> Outgoing:
    row = version.content
    payload = {"event_id": f"{changelog.current}-{version.seq}", "event_time": _wire(version.event_time)}
    payload |= {name: row[name] for name in changelog.columns} | {"valid_from": _wire(row["valid_from"])}
    key = row[changelog.contract.key].encode()
    return changelog.contract.topic, key, json.dumps(payload, ensure_ascii=False).encode()


def _wire(moment: str) -> str:
    """A time as events write it; what no event can write is left as PostgreSQL does, for the validator to refuse."""
    epoch_ms = parse_time(moment)
    return moment if epoch_ms is None else format_time(epoch_ms)


def _set_aside(
    settings: Settings, changelog: Changelog, version: _Version, record: Outgoing, verdict: Invalid
) -> SetAside:
    key = changelog.contract.key
    shown = f"{key} {_short(version.content[key])}"
    if verdict.field is None:
        why = f"{len(record[2] or b''):,} bytes ({verdict.reason})"
    else:
        found = version.event_time if verdict.field == "event_time" else version.content.get(verdict.field)
        why = f"{verdict.field} is {_short(found)} ({verdict.reason})"
    return SetAside(f"{schema_name(settings)}.{changelog.versions}", version.seq, shown, why)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
