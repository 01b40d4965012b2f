"""Identity of a record: the hash that bronze, silver and every fingerprint carry."""

import hashlib
import struct

_POSITION = struct.Struct(">iq")


def record_hash(topic: str, partition: int, offset: int, value: bytes | None) -> int:
    """The first 60 bits of SHA-256 over topic, 0x00, partition, offset and value bytes, as 0 <= n < 2**60.

    `topic` is without namespace, so that two tenants agree on the same record. A null value has no bytes.
    """
    digest = hashlib.sha256(topic.encode() + b"\0" + _POSITION.pack(partition, offset) + (value or b"")).digest()
    return int.from_bytes(digest[:8], "big") >> 4
