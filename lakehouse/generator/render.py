"""From columns to bytes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any, Final

from lakehouse.contracts.events import CLICKS, PURCHASES, TRANSACTIONS
from lakehouse.generator.broken import BROKEN, BROKEN_TRANSACTIONS, Record
from lakehouse.generator.shop import (
    COUNTRIES,
    NO_PRODUCT,
    PAGES,
    PRODUCTS,
    REGIONS,
    UNLISTED_PRODUCTS,
    product_id,
    user_id,
)
from lakehouse.generator.traffic import (
    BROKEN_RECORD,
    BROKEN_TRANSACTION,
    CLICK,
    CONFLICTING,
    MICROSECONDS,
    NULLS_ABSENT,
    OTHER_ZONE,
    PLAIN,
    PURCHASE,
    REORDERED,
    RETRIED,
    TRANSACTION,
    Columns,
    ShopDay,
    build,
    chunks,
)

CHUNK: Final = 20_000
_ID_LETTERS: Final = {PURCHASE: "p", TRANSACTION: "t"}
_ZONE: Final = timezone(timedelta(hours=5, minutes=30))


def records(day: ShopDay) -> Iterator[list[Record]]:
    """The records of `day`, (topic, key, value), in sending order and in lists of at most `CHUNK`."""
    writer = _Writer(day)
    for columns in chunks(build(day), CHUNK):
        yield writer.write(columns)


class _Writer:
    """Holds the parts that values are put together from, so that the common forms need no JSON library."""

    def __init__(self, day: ShopDay) -> None:
        self._midnight = datetime.combine(day.day, time(), UTC)
        self._id = f"{day.day:%Y%m%d}-{day.seed}-"
        clock = [f"{h:02d}:{m:02d}:{s:02d}" for h in range(24) for m in range(60) for s in range(60)]
        self._seconds = [f"{day.day.isoformat()}T{t}" for t in clock]
        self._millis = [f".{ms:03d}Z" for ms in range(1000)]
        self._products = [f'"{product_id(n)}"' for n in range(PRODUCTS + UNLISTED_PRODUCTS)]
        self._products.append("null")  # at -1, which is NO_PRODUCT
        self._endings = [
            f'"action":"{action}","page":"{page}","region":"{region}"}}'
            for action in ("impression", "click")
            for page in PAGES
            for region in REGIONS
        ]
        self._regions = [f'"currency":"EUR","region":"{region}"}}' for region in REGIONS]

    def write(self, columns: Columns) -> list[Record]:
        ending = ((columns.kind == CLICK) * len(PAGES) + columns.page) * len(REGIONS) + columns.region
        common = (columns.form == PLAIN) & (columns.kind < TRANSACTION)
        rows: list[Record] = []
        seconds, millis, products, endings = self._seconds, self._millis, self._products, self._endings
        clicks, purchases = CLICKS.topic, PURCHASES.topic
        for index, (plain, kind, number, second, ms, user, product, end) in enumerate(
            zip(
                common.tolist(),
                columns.kind.tolist(),
                columns.number.tolist(),
                (columns.time // 1000).tolist(),
                (columns.time % 1000).tolist(),
                columns.user.tolist(),
                columns.product.tolist(),
                ending.tolist(),
                strict=True,
            )
        ):
            if not plain:
                rows.append(self._uncommon(columns, index))
                continue
            name = f"u{user:07d}"
            if kind == PURCHASE:
                value = (
                    f'{{"event_id":"p{self._id}{number}","event_time":"{seconds[second]}{millis[ms]}",'
                    f'"user_id":"{name}","product_id":{products[product]},"quantity":{columns.quantity[index]},'
                    f'"amount_cents":{columns.amount[index]},{self._regions[columns.region[index]]}'
                )
                rows.append((purchases, name.encode(), value.encode()))
            else:
                value = (
                    f'{{"event_id":"c{self._id}{number}","event_time":"{seconds[second]}{millis[ms]}",'
                    f'"user_id":"{name}","product_id":{products[product]},{endings[end]}'
                )
                rows.append((clicks, name.encode(), value.encode()))
        return rows

    def _uncommon(self, columns: Columns, row: int) -> Record:
        kind = int(columns.kind[row])
        if kind == BROKEN_RECORD:
            _, damage = BROKEN[int(columns.number[row]) % len(BROKEN)]
            return damage(self._payload(columns, row, CLICK), self._payload(columns, row, PURCHASE))
        if kind == BROKEN_TRANSACTION:
            _, damage_one = BROKEN_TRANSACTIONS[int(columns.number[row]) % len(BROKEN_TRANSACTIONS)]
            return damage_one(self._payload(columns, row, TRANSACTION))
        payload = self._payload(columns, row, kind)
        form = int(columns.form[row])
        at = self._midnight + timedelta(milliseconds=int(columns.time[row]))
        if form == RETRIED:
            payload["delivery"] = {"attempt": 2, "note": "sent again"}
        elif form == CONFLICTING:
            payload["country" if kind == TRANSACTION else "region"] = "somewhere else"
        elif form == OTHER_ZONE:
            payload["event_time"] = at.astimezone(_ZONE).isoformat(timespec="milliseconds")
        elif form == MICROSECONDS:
            payload["event_time"] = payload["event_time"].replace("Z", "999Z")
        elif form == NULLS_ABSENT:
            payload = {name: value for name, value in payload.items() if value is not None}
        elif form == REORDERED:
            payload = dict(reversed(payload.items()))
        topic = {PURCHASE: PURCHASES.topic, TRANSACTION: TRANSACTIONS.topic}.get(kind, CLICKS.topic)
        # ASCII escapes are one more way to write the same strings.
        return topic, payload["user_id"].encode(), json.dumps(payload).encode()

    def _payload(self, columns: Columns, row: int, kind: int) -> dict[str, Any]:
        at, product = int(columns.time[row]), int(columns.product[row])
        payload: dict[str, Any] = {
            "event_id": f"{_ID_LETTERS.get(kind, 'c')}{self._id}{columns.number[row]}",
            "event_time": self._seconds[at // 1000] + self._millis[at % 1000],
            "user_id": user_id(int(columns.user[row])),
        }
        if kind == TRANSACTION:
            paid = {"amount_cents": int(columns.amount[row]), "merchant": f"merchant-{product:03d}"}
            where = {"country": COUNTRIES[int(columns.region[row])]}
            return payload | paid | where | {"priority": "high" if columns.page[row] else "normal"}
        payload["product_id"] = None if product == NO_PRODUCT else product_id(product)
        region = REGIONS[int(columns.region[row])]
        if kind == PURCHASE:
            if product == NO_PRODUCT:
                payload["product_id"] = product_id(0)
            amounts = {"quantity": int(columns.quantity[row]), "amount_cents": int(columns.amount[row])}
            return payload | amounts | {"currency": "EUR", "region": region}
        action = "click" if kind == CLICK else "impression"
        return payload | {"action": action, "page": PAGES[int(columns.page[row])], "region": region}
