"""Whose the tables of a bucket's namespace are: one installation's, which alone writes them.

Two installations have a Kafka, a PostgreSQL and checkpoint numbers each. On one bucket and namespace, what either has
written passes for the other's own: "replay 1", "batch 17 of this checkpoint", "offset 4 of partition 2" are there
already, so the rows of the second are left out without a word, and it goes on from the checkpoints of the first. So the
first to write leaves its name in the namespace, by conditional put, and whoever opens tables for writing looks for it.
"""

import getpass
import json
import socket
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Final

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from lakehouse.delta.errors import BucketMissingError, StoreDeniedError, TableError
from lakehouse.object_store import build_client, put_new
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings

LOOK_SECONDS: Final = 60.0
"""A process that writes looks again after so long: so soon it notices that another has taken over."""

_looked: Final[dict[tuple[str, ...], float]] = {}


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a namespace: an installation, and where it was when it came to own it. `before`: whom it took over."""

    installation: str
    home: str
    host: str
    user: str
    since: str
    before: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"installation {self.installation} ({self.home} of {self.user} on {self.host}, since {self.since})"


class ForeignTablesError(TableError):
    """The namespace belongs to another installation; nothing was written."""

    def __init__(self, settings: Settings, owner: Owner) -> None:
        ours = f"installation {settings.installation}" if settings.installation else "an installation without a name"
        super().__init__(
            f"the tables of {_place(settings)} belong to {owner}; this is {ours} ({_home(settings)}). "
            f"Nothing was written: two would take each other's writes for their own. Give this one a namespace or a "
            f"bucket of its own (LAKEHOUSE_NAMESPACE, LAKEHOUSE_BUCKET); or, if the other is stopped for good and this "
            f"one goes on with its tables: lakehouse installation take-over"
        )
        self.owner = owner


def require_own(settings: Settings) -> None:
    """Lets pass who may write to the tables; the first to ask comes to own them. One request a minute per process.

    Raises:
        ForeignTablesError: they are another installation's.
        ServiceDownError, StoreDeniedError, BucketMissingError: as `lakehouse.delta.open_table`.
    """
    # Not the address: a process has one store, which it may reach through a proxy too.
    place = (settings.bucket, settings.namespace, settings.installation)
    last = _looked.get(place)
    if last is not None and time.monotonic() - last < LOOK_SECONDS:
        return
    try:
        owner = owner_of(settings)
        if owner is None and settings.installation:
            owner = _claim(settings)
    except (ServiceDownError, S3Error):
        if last is None:
            raise
        return  # a store that fails now: the write finds out, and has its own ways to go on
    # One that was made by an earlier release has no name before its next `lakehouse up`.
    if owner is not None and owner.installation != settings.installation:
        raise ForeignTablesError(settings, owner)
    _looked[place] = time.monotonic()


def owner_of(settings: Settings) -> Owner | None:
    """Raises what `require_own` raises of the store."""
    try:
        with build_client(settings).get_object(settings.bucket, _key(settings)) as answer:
            said = json.loads(answer.data)
    except HTTPError as error:
        raise ServiceDownError("minio", settings.s3_endpoint) from error
    except S3Error as error:
        if error.code == "NoSuchKey":
            return None
        if error.code == "NoSuchBucket":
            raise BucketMissingError(settings.bucket, settings.s3_endpoint) from None
        if error.code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"):
            raise StoreDeniedError(settings.s3_endpoint, settings.credentials_file) from None
        raise
    return Owner(**said | {"before": tuple(said["before"])})


def take_over(settings: Settings) -> Owner:
    """Makes this installation the owner, whoever was; processes of the other that still run notice within a minute.

    Raises what `require_own` raises of the store.
    """
    before = owner_of(settings)
    if before is not None and before.installation == settings.installation:
        return before
    owner = _ours(settings, (*before.before, before.installation) if before else ())
    content = _content(owner)
    build_client(settings).put_object(settings.bucket, _key(settings), BytesIO(content), len(content))
    return owner


def _claim(settings: Settings) -> Owner:
    """Owns a namespace that is nobody's; of two at once, one does. Returns who."""
    ours = _ours(settings, ())
    if put_new(settings, _key(settings), _content(ours)):
        return ours
    # Another was quicker, or it was this one, whose first answer was lost.
    owner = owner_of(settings)
    if owner is None:
        raise ServiceDownError("minio", settings.s3_endpoint)
    return owner


def _ours(settings: Settings, before: tuple[str, ...]) -> Owner:
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
    return Owner(settings.installation, _home(settings), socket.gethostname(), getpass.getuser(), since, before)


def _content(owner: Owner) -> bytes:
    return json.dumps(asdict(owner), indent=1).encode()


def _home(settings: Settings) -> str:
    return str(settings.home.absolute())


def _key(settings: Settings) -> str:
    return settings.prefixed("_installation.json", "/")


def _place(settings: Settings) -> str:
    return f"s3://{settings.bucket}/{settings.prefixed('', '/')} at {settings.s3_endpoint}"
