"""What a commit says of itself, in its `userMetadata`: who wrote it, why, and from which versions of which tables.

*Drained*, explain, replays, marts and the Lambda variant rest on it. It is written as JSON, by `Said.text`, and read
back by `read_note`, which also knows how earlier releases put it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter

from lakehouse.contracts.owners import BACKFILL, LAMBDA_BATCH, LAMBDA_SPEED

Offsets = Mapping[str, Mapping[int, int]]
"""By topic, without namespace, and partition: the first offset that does not count."""


class Said(BaseModel):
    """What all notes have; its text is what its writer said in words."""

    model_config = ConfigDict(frozen=True)
    kind: str

    @property
    def content(self) -> dict[str, Any]:
        """As JSON has it, without what is not said."""
        return {"kind": self.kind} | self.model_dump(mode="json", exclude_defaults=True)

    @property
    def text(self) -> str:
        """For `userMetadata`."""
        return json.dumps(self.content)


class Read(Said):
    """`read_versions`: by table, the version that the commit was computed from. Once none of them has moved on, the
    committed table is up to date. Releases before this one said `silver_version`."""

    job: str = ""
    read_versions: dict[str, int] = Field(default={}, validation_alias=AliasChoices("read_versions", "silver_version"))

    def read_the_same(self, other: Said | None) -> bool:
        """Whether the other commit, whatever it is, was computed from these versions too."""
        return isinstance(other, Read) and other.read_versions == self.read_versions

    def reading(self, versions: Mapping[str, int]) -> Self:
        """The same of a commit that was computed from these."""
        return self.model_copy(update={"read_versions": dict(versions)})


class Caused(Read, ABC):
    """Of a table's owner. `correction`: why rows that stood there were replaced, on `dates`."""

    correction: str = ""
    dates: tuple[date, ...] = ()

    @property
    @abstractmethod
    def cause(self) -> str:
        """What rows say of themselves as `changed_by`."""

    def correcting(self, why: str, dates: Iterable[date]) -> Self:
        """The same of a commit that corrects rows."""
        return self.model_copy(update={"correction": why, "dates": tuple(sorted(dates))})


class Batch(Caused):
    """A stream's micro-batch wrote it."""

    kind: Literal["batch"] = "batch"
    batch_id: int

    @property
    def cause(self) -> str:
        return f"stream batch {self.batch_id}"

    def __str__(self) -> str:
        batch = f"{self.cause} of {self.job}"
        return f"correction ({self.correction}) in {batch}" if self.correction else batch


class Asked(Caused):
    """Somebody asked for it: a rebuild, a replay, a run that judges records anew. `scope` names it."""

    kind: Literal["asked"] = "asked"
    scope: str

    @property
    def cause(self) -> str:
        return self.scope

    def __str__(self) -> str:
        return self.scope


class Follow(Caused):
    """A follower brought the table up to what its sources have become."""

    kind: Literal["follow"] = "follow"

    @property
    def cause(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.read_versions.items())

    def __str__(self) -> str:
        follow = f"{self.job} up to {self.cause}"
        return f"correction ({self.correction}) by {follow}" if self.correction else follow


class Stateful(Said):
    """A stream with a state of its own, `app_id`, wrote it: a batch's rows, `replayed` of them again by hand; without
    `batch_id` the state's beginning."""

    kind: Literal["stateful"] = "stateful"
    job: str
    app_id: str
    batch_id: int | None = None
    replayed: int = 0

    def __str__(self) -> str:
        return f"new state of {self.job}" if self.batch_id is None else f"stream batch {self.batch_id} of {self.job}"


class Publication(Read):
    """A day of a mart. `read_tables`: Delta's ids of what was read, as versions of tables that are made anew begin
    again. `replay` and `scope`: whose rows they are, if they are a replay's. `read_rows` and `seconds`: what computing
    took, for estimates."""

    kind: Literal["publication"] = "publication"
    job: str = BACKFILL
    day: date
    engine: str = ""
    read_tables: Mapping[str, str] = {}
    as_of: datetime | None = None
    read_rows: int = 0
    seconds: float = 0.0
    scope: str = ""
    replay: str = ""

    def __str__(self) -> str:
        as_of = f" from the tables as of {self.as_of.isoformat()}" if self.as_of else ""
        return self.scope or f"mart of {self.day} published by {self.engine}{as_of}"


class Restored(Read):
    """The content is that of version `restored` again, with the versions that it was computed from."""

    kind: Literal["restored"] = "restored"
    restored: int
    by: str = ""

    def __str__(self) -> str:
        return f"version {self.restored} restored by {self.by}"


class HandedOver(Read):
    """Lambda's batch layer has written the last table of a run; see `lakehouse.lambda_layers`. `versions`: of the
    tables before it; `topics`: ids of the topics that the cut is of."""

    kind: Literal["handed_over"] = "handed_over"
    job: str = LAMBDA_BATCH
    cut: Offsets
    versions: dict[str, int]
    topics: Mapping[str, str] = {}

    def __str__(self) -> str:
        return f"run of {self.job}"


class Added(Said):
    """Lambda's speed layer has added to version `batch_version` of the batch layer's table what came from the `cut` up
    to `ends`."""

    kind: Literal["added"] = "added"
    job: str = LAMBDA_SPEED
    batch_version: int
    cut: Offsets
    ends: Offsets

    def __str__(self) -> str:
        return f"{self.job} beside version {self.batch_version} of the batch layer"


class Remark(Said):
    """What somebody else wrote there."""

    kind: Literal["remark"] = "remark"
    note: str

    def __str__(self) -> str:
        return self.note


_TOLD_BY: Final = {
    "restored": "restored",
    "day": "publication",
    "batch_version": "added",
    "cut": "handed_over",
    "app_id": "stateful",
    "scope": "asked",
    "batch_id": "batch",
}
"""By what a note says, its kind, the first that fits: of releases before this one, which named no kinds."""


def _kind(said: Any) -> str | None:
    if not isinstance(said, Mapping):
        return None
    return said.get("kind") or next((kind for key, kind in _TOLD_BY.items() if key in said), None)


Note = Annotated[
    Annotated[Batch, Tag("batch")]
    | Annotated[Asked, Tag("asked")]
    | Annotated[Follow, Tag("follow")]
    | Annotated[Stateful, Tag("stateful")]
    | Annotated[Publication, Tag("publication")]
    | Annotated[Restored, Tag("restored")]
    | Annotated[HandedOver, Tag("handed_over")]
    | Annotated[Added, Tag("added")]
    | Annotated[Remark, Tag("remark")],
    Discriminator(_kind),
]

_NOTE: Final[TypeAdapter[Note]] = TypeAdapter(Note)


def read_note(text: str | None) -> Note | None:
    """What a commit says of itself; None where it says nothing. What no release of ours has written is a `Remark`."""
    if not text:
        return None
    try:
        return _NOTE.validate_python(json.loads(text))
    except ValueError:  # no JSON, or of no kind that we know
        return Remark(note=text)
