"""What is known of a row: its records, its last change, and whether it all adds up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import polars as pl

from lakehouse.plain import plain


class Status(StrEnum):
    """What became of a record. Lateness leaves nothing out."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"
    """The same event as another record, which counts instead."""
    SUPERSEDED = "superseded"
    """Of two versions with one `valid_from`, the earlier."""
    WAITING = "waiting"
    """Came after the row was last computed."""
    LOOKED_AT = "looked at"
    """The row's rule needs it, and it is in none of the sums."""


RECORDS: Final = pl.Schema(
    {
        "topic": pl.String(),
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "status": pl.String(),
        "lateness": pl.String(),
        "instead": pl.Struct({"partition": pl.Int32(), "offset": pl.Int64()}),
        "arrival": pl.Datetime("us", "UTC"),
        "event_time": pl.Datetime("us", "UTC"),
        "key": pl.String(),
        "event_id": pl.String(),
        "record_hash": pl.Int64(),
        "value_hash": pl.Int64(),
        "value": pl.Binary(),
    }
)
"""One row per record. `instead`: where the record lies that counts for it. `value_hash` is computed from the raw
`value`, `record_hash` is what the tables say; both null where bronze lacks the record."""


@dataclass(frozen=True, slots=True)
class Change:
    """The commit that made the row what it is. `before`: what it was until then, None if it wasn't there."""

    version: int
    at: datetime
    why: str
    said: Mapping[str, Any]
    before: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A row of `table` at `version`. `read`: the versions of silver that it was computed from.

    `changed` is None where the change is older than the history that is kept. `notes`: what a reader should know
    beside it.
    """

    table: str
    version: int
    key: Mapping[str, Any]
    row: Mapping[str, Any]
    read: Mapping[str, int]
    records: pl.DataFrame
    changed: Change | None
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def of(self, *statuses: Status) -> pl.DataFrame:
        """The records with these statuses."""
        return self.records.filter(pl.col("status").is_in(statuses))

    @property
    def claimed(self) -> tuple[int, int]:
        """Events and fingerprint by the row; a row that is one event has its own hash."""
        if "events" in self.row:
            return int(self.row["events"]), int(self.row["fingerprint"])
        return 1, int(self.row["record_hash"])

    @property
    def found(self) -> tuple[int, int]:
        """How many records are behind the row, and the sum of the hashes of their raw values."""
        counted = self.of(Status.COUNTED)
        return counted.height, int(counted["value_hash"].cast(pl.Int128).sum())

    @property
    def flaws(self) -> list[str]:
        """Why the records are not the row; empty if they add up to it."""
        counted = self.of(Status.COUNTED)
        missing = counted.filter(pl.col("value").is_null())
        altered = counted.filter(pl.col("value_hash") != pl.col("record_hash"))
        flaws = [f"bronze has no {_named(missing)}"] if missing.height else []
        if altered.height:
            flaws.append(f"the raw value has not the hash that the tables say: {_named(altered)}")
        for what, claimed, found in zip(("events", "fingerprint"), self.claimed, self.found, strict=True):
            if claimed != found:
                flaws.append(f"{what} is {claimed} in the row and {found} by its records")
        return flaws

    @property
    def adds_up(self) -> bool:
        """The row's events and fingerprint are those of its records, as their raw values say."""
        return not self.flaws

    def to_dict(self, limit: int | None = None) -> dict[str, Any]:
        """For JSON; `limit` records at most."""
        changed = self.changed
        return {
            "table": self.table,
            "version": self.version,
            "key": plain(self.key),
            "row": plain(self.row),
            "read": dict(self.read),
            "adds_up": self.adds_up,
            "flaws": self.flaws,
            "events": {"row": self.claimed[0], "records": self.found[0]},
            # As text: JSON's numbers end at 2**53.
            "fingerprint": {"row": str(self.claimed[1]), "records": str(self.found[1])},
            "statuses": counts(self.records, "status"),
            "lateness": counts(self.of(Status.COUNTED), "lateness"),
            "changed": changed
            and {
                "version": changed.version,
                "at": changed.at.isoformat(),
                "why": changed.why,
                "said": dict(changed.said),
                "before": changed.before and plain(changed.before),
            },
            "notes": list(self.notes),
            "seconds": {name: round(spent, 3) for name, spent in self.seconds.items()},
            "records": [plain(record) for record in self.records.head(limit or self.records.height).to_dicts()],
        }


def counts(records: pl.DataFrame, column: str) -> dict[str, int]:
    """How often each value occurs."""
    return dict(records[column].value_counts().sort(column).iter_rows())


def _named(records: pl.DataFrame, most: int = 5) -> str:
    places = [f"{topic}[{p}] offset {o}" for topic, p, o in records.select("topic", "partition", "offset").iter_rows()]
    return ", ".join(places[:most]) + (f" and {len(places) - most} more" if len(places) > most else "")
