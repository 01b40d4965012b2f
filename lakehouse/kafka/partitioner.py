"""Where Java's default partitioner puts a key, computed without Kafka."""

from typing import Final

from lakehouse.contracts.events import PARTITIONS

_WORD: Final = 0xFFFFFFFF
_MULTIPLIER: Final = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit MurmurHash2 with its seed, as an unsigned integer."""
    mixed = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _WORD
        word = (word ^ word >> 24) * _MULTIPLIER & _WORD
        mixed = mixed * _MULTIPLIER & _WORD ^ word
    if whole < len(data):
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _WORD
    mixed = (mixed ^ mixed >> 13) * _MULTIPLIER & _WORD
    return mixed ^ mixed >> 15


def partition_of(key: bytes, partitions: int = PARTITIONS) -> int:
    """The partition of `key` in a topic of `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
