"""The live values in Redis: where they lie, how a newer one replaces an older one, and reading them back.

A value lies in a hash, so that a reader gets what belongs together with one command::

    live:product_metrics_5m:<window_start>   product_id -> "<generation> <seq> <row as JSON>"
    live:current_sessions                    user_id    -> the same
    live:positions                           partition  -> offset of shop.dashboard that comes next
    live:cleared_below                       (a string) the generation below which no value is left
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import redis
from pydantic import Field, TypeAdapter

from lakehouse.contracts.messages import Count, Id, MessageError, Milliseconds, parse_message
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

PRODUCT_METRICS: Final = "product_metrics_5m"
CURRENT_SESSIONS: Final = "current_sessions"
TABLES: Final = (PRODUCT_METRICS, CURRENT_SESSIONS)

Row = dict[str, Any]

_log = logging.getLogger(__name__)

_CHUNK: Final = 500
"""Values per script: one script blocks Redis for about a millisecond."""

# Equal replaces too: after a restore Flink sends again what it had sent, and the later copy is as good.
_REPLACE: Final = """
for i, key in ipairs(KEYS) do
  local field, generation, seq, row = ARGV[4 * i - 3], ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i]
  local held = redis.call('HGET', key, field)
  local newer = true
  if held then
    local g, s = string.match(held, '^(%d+) (%d+) ')
    if g then
      g, s = tonumber(generation) - tonumber(g), tonumber(seq) - tonumber(s)
      newer = g > 0 or (g == 0 and s >= 0)
    end
  end
  if newer then
    redis.call('HSET', key, field, generation .. ' ' .. seq .. ' ' .. row)
  end
end
"""

_DELETE_OLDER: Final = """
local deleted = 0
for i = 2, #ARGV do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held and tonumber(string.match(held, '^(%d+) ') or 0) < tonumber(ARGV[1]) then
    deleted = deleted + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return deleted
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What every message of ``shop.dashboard`` has beside its row."""

    generation: Annotated[int, Field(ge=0, lt=1 << 31)]
    seq: Annotated[int, Field(ge=0, lt=1 << 53)]
    """Lua compares it as a double."""
    events: Count
    fingerprint: Annotated[str, Field(pattern=r"^[0-9]{1,38}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProductWindow(_Sent):
    table: Literal["product_metrics_5m"]
    product_id: Id
    window_start: Milliseconds
    window_end: Milliseconds
    impressions: Count
    clicks: Count
    conversions: Count
    revenue_cents: Count | None
    """None where the sum fits no 64 bits."""
    ctr: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _CurrentSession(_Sent):
    table: Literal["current_sessions"]
    user_id: Id
    session_start: Milliseconds
    session_end: Milliseconds
    duration_ms: Count
    impressions: Count
    clicks: Count
    anomalous: bool


_ROW: Final[TypeAdapter[_ProductWindow | _CurrentSession]] = TypeAdapter(
    Annotated[_ProductWindow | _CurrentSession, Field(discriminator="table")]
)


class LiveValue(NamedTuple):
    """One row as Flink sent it. `row` is its JSON; newer is the greater (`generation`, `seq`)."""

    table: str
    key: str
    """Product or user."""
    window_start: int | None
    generation: int
    seq: int
    row: bytes


def parse_value(message: bytes | None) -> LiveValue:
    """The live value that a message of ``shop.dashboard`` carries; anybody may write to the topic.

    Raises:
        MessageError: it is not one.
    """
    row = parse_message(_ROW, message, "a live value")
    key, start = (row.product_id, row.window_start) if isinstance(row, _ProductWindow) else (row.user_id, None)
    return LiveValue(row.table, key, start, row.generation, row.seq, message or b"")


class LiveValues:
    """The live values of one namespace. Every method raises `ServiceDownError` while Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis = redis.Redis(
            host=settings.host,
            port=settings.redis_port,
            password=settings.redis_password.get_secret_value(),
            socket_timeout=20,
            socket_connect_timeout=5,
        )

    def replace(self, values: Iterable[LiveValue], positions: Mapping[int, int]) -> None:
        """Write each value that is not older than the one held, and `positions`, all of it or nothing."""
        pending = list(values)
        transaction = self._redis.pipeline(transaction=True)
        for start in range(0, len(pending), _CHUNK):
            chunk = pending[start : start + _CHUNK]
            keys = [self._hash(value.table, value.window_start) for value in chunk]
            arguments = [each for v in chunk for each in (v.key, v.generation, v.seq, v.row)]
            transaction.eval(_REPLACE, len(keys), *keys, *arguments)
        if positions:
            transaction.hset(self._positions_key, mapping={str(p): offset for p, offset in positions.items()})
        self._ask(transaction.execute)

    def positions(self) -> dict[int, int]:
        """By partition of ``shop.dashboard``, the offset up to which (exclusive) all values are here."""
        held = self._ask(lambda: self._redis.hgetall(self._positions_key))
        return {int(partition): int(offset) for partition, offset in held.items()}

    def topic_id(self) -> str | None:
        """The id of the ``shop.dashboard`` that the positions are of; None where nobody has noted it."""
        held = self._ask(lambda: self._redis.get(self._topic_key))
        return None if held is None else held.decode()

    def begin(self, topic_id: str, positions: Mapping[int, int]) -> None:
        """From now on the positions are of the topic with this id; `positions` replace those that are held."""
        transaction = self._redis.pipeline(transaction=True)
        transaction.set(self._topic_key, topic_id)
        transaction.delete(self._positions_key)
        if positions:
            transaction.hset(self._positions_key, mapping={str(p): offset for p, offset in positions.items()})
        self._ask(transaction.execute)

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of `PRODUCT_METRICS` or `CURRENT_SESSIONS`, in no order.

        They have the compared columns of ``gold.product_metrics_5m`` and ``silver.sessions``: times in
        milliseconds, `fingerprint` an integer, `event_date` the UTC date of the row's start. What an earlier version
        has let in and is no row is logged and left out.
        """
        for name in self._hashes(table):
            for held in self._ask(lambda name=name: self._redis.hvals(name)):
                try:
                    row = parse_message(_ROW, held.split(b" ", 2)[-1], "a live value")
                except MessageError as error:
                    _log.warning("%s: %s", name, error)
                    continue
                if row.events:  # a window that lost its last event to another product is no row
                    yield _compared(row)

    def delete_older_generations(self, generation: int) -> int:
        """Delete the values of generations below `generation`; returns how many. Call it once that one is drained.

        It can be repeated, and is remembered when done: see `cleared_below`.
        """
        deleted = 0
        for table in TABLES:
            for name in self._hashes(table):
                fields = self._ask(lambda name=name: self._redis.hkeys(name))
                for start in range(0, len(fields), _CHUNK):
                    chunk = fields[start : start + _CHUNK]
                    deleted += self._ask(
                        lambda name=name, chunk=chunk: self._redis.eval(_DELETE_OLDER, 1, name, generation, *chunk)
                    )
        self._ask(lambda: self._redis.set(self._cleared_key, generation))
        return deleted

    def cleared_below(self) -> int:
        """No value of a generation below this one is left; 0 if nothing was ever cleared."""
        return int(self._ask(lambda: self._redis.get(self._cleared_key)) or 0)

    def close(self) -> None:
        self._redis.close()

    @property
    def _positions_key(self) -> str:
        return self._settings.prefixed("live:positions", ":")

    @property
    def _topic_key(self) -> str:
        return self._settings.prefixed("live:topic", ":")

    @property
    def _cleared_key(self) -> str:
        return self._settings.prefixed("live:cleared_below", ":")

    def _hash(self, table: str, window_start: int | None = None) -> str:
        name = f"live:{table}" if window_start is None else f"live:{table}:{window_start}"
        return self._settings.prefixed(name, ":")

    def _hashes(self, table: str) -> list[str]:
        if table == CURRENT_SESSIONS:
            return [self._hash(table)]
        pattern = self._hash(table) + ":*"
        # A scan may return a key twice while the keyspace grows.
        return sorted({name.decode() for name in self._ask(lambda: list(self._redis.scan_iter(pattern, 1000)))})

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ServiceDownError("valkey", f"{self._settings.host}:{self._settings.redis_port}") from error


def _compared(sent: _ProductWindow | _CurrentSession) -> Row:
    row = {f.name: getattr(sent, f.name) for f in fields(sent) if f.name not in ("table", "generation", "seq")}
    start = sent.window_start if isinstance(sent, _ProductWindow) else sent.session_start
    day = datetime.fromtimestamp(start / 1000, UTC).date()
    return row | {"fingerprint": int(sent.fingerprint), "event_date": day}
