"""The record hash, against values computed with coreutils alone."""

import subprocess

from lakehouse.contracts.identity import record_hash


def _sha256sum(data: bytes) -> int:
    printed = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout
    return int(printed[:15], 16)


def test_record_hash_is_the_first_60_bits_of_the_positions_and_values_sha256() -> None:
    position = b"shop.clicks\x00" + b"\x00\x00\x00\x05" + b"\x00\x00\x00\x00\x00\x01\x00\x02"
    assert record_hash("shop.clicks", 5, 65_538, b'{"a":1}') == _sha256sum(position + b'{"a":1}')


def test_a_null_value_has_no_bytes() -> None:
    expected = _sha256sum(b"shop.clicks\x00" + bytes(12))
    assert record_hash("shop.clicks", 0, 0, None) == expected
    assert record_hash("shop.clicks", 0, 0, b"") == expected


def test_any_part_of_the_position_changes_the_hash() -> None:
    assert len({record_hash(t, p, o, b"v") for t in ("a", "b") for p in (0, 1) for o in (0, 1)}) == 8
