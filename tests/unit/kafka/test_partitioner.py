"""The vectors of Kafka's own test of its Java client (UtilsTest.testMurmur2)."""

import pytest

from lakehouse.kafka.partitioner import murmur2

VECTORS = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize("key", VECTORS)
def test_hash_is_javas(key: str) -> None:
    assert murmur2(key.encode()) == VECTORS[key] % 2**32
