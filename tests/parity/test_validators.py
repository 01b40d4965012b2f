"""Both validators on the same bytes, mutated and random: whatever the bytes, one verdict."""

import base64
import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.java import java as java_program
from lakehouse.contracts.conformance import cases
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.validation import Invalid, Reason, Valid, validate
from lakehouse.settings import load_settings

RECORDS = 20_000
CASES: Final = cases()
ARRIVAL: Final = CASES[0].arrival_ms

SNIPPETS: Final = (
    *(b'"', b"\\", b"\\\\", b"\\u", b"\\u0000", b"\\ud83d", b"\\ude00", b"\\ud83d\\ude00", b"\\n", b"\\x"),
    *(b"{", b"}", b"[", b"]", b":", b",", b"{}", b"[]", b"[[", b'{"a":', b'"a":1,', b'"a":1,"a":2,', b"null", b"true"),
    *(b"0", b"-", b"-0", b"1e3", b"5.0", b".", b"9" * 19, b"9223372036854775808", b"NaN", b"Infinity", b"+", b"E"),
    *(b" ", b"\t", b"\r\n", b"\0", b"\x1f", b"\x7f", b"\xc2\x85", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xef\xbb\xbf"),
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\xbd", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xd9\xa1"),
    *(b"T24:00:00", b":60", b"02-30", b"02-29", b"+18:00", b"-18:01", b"Z", b"z", b"0000-", b"9999-", b".999999999"),
    *(b'"user_id":"u-1",', b'"event_id":"', b'"quantity":', b"x" * 257, b"[" * 64, b"]" * 64, b" " * 66_000),
)


class JavaValidator:
    """The Java validator in a process of its own, a line in and a line out."""

    def __init__(self) -> None:
        settings = load_settings()
        jar = settings.cache / "jars" / "connectors" / "kappa-lakehouse-connectors.jar"
        assert jar.is_file(), f"{jar} is missing: run `make install`"
        command = [
            java_program(settings),
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-cp",
            str(jar),
            "io.kappalakehouse.validator.Cli",
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *columns: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("\t".join(columns).encode() + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().rstrip("\n")

    def verdict(self, topic: str, key: bytes | None, value: bytes | None, arrival_ms: int) -> str:
        return self.ask("validate", topic, _column(key), _column(value), str(arrival_ms))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(10) == 0


@pytest.fixture(scope="module")
def java() -> Iterator[JavaValidator]:
    validator = JavaValidator()
    yield validator
    validator.close()


def _column(data: bytes | None) -> str:
    return "-" if data is None else base64.b64encode(data).decode()


def _line(verdict: Valid | Invalid) -> str:
    """The verdict as the Java process prints it."""
    if isinstance(verdict, Invalid):
        return f"{verdict.reason}\t{verdict.field or '-'}"
    columns = ["valid"]
    for value in verdict.fields.values():
        if value is None:
            columns.append("-")
        else:
            columns.append(f"i:{value}" if isinstance(value, int) else f"s:{_column(value.encode())}")
    return "\t".join(columns)


def _mutated(draw: random.Random, value: bytes) -> bytes:
    """`value` with a few bytes changed, most of them inside a word of the rule."""
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
        at = draw.randrange(len(value) + 1)
        end = min(len(value), at + draw.choice((0, 0, 1, 1, 2, 5, 20)))
        match draw.randrange(5):
            case 0:
                value = value[:at] + value[end:]
            case 1:
                value = value[:at] + draw.randbytes(end - at) + value[end:]
            case 2:
                value = (
                    value[:at]
                    + bytes(draw.choice(b'0123456789"\\{}[]:,.-+eETZ au ') for _ in range(at, end))
                    + value[end:]
                )
            case 3:
                other = draw.choice(CASES).value or b""
                value = value[:at] + other[draw.randrange(len(other) + 1) :]
            case _:
                value = value[:at] + draw.choice(SNIPPETS) + value[end:]
    return value


def test_mutated_and_random_bytes_get_one_verdict(java: JavaValidator, seed: int) -> None:
    draw = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(RECORDS):
        case = draw.choice(CASES)
        key, value, topic = case.key, case.value, case.topic
        if value is not None and len(value) > 4096 and draw.random() < 0.9:
            continue
        match draw.randrange(20):
            case 0:
                value = draw.randbytes(draw.randrange(60))
            case 1:
                topic = draw.choice(tuple(EVENTS))
            case 2:
                key = _mutated(draw, key or b"")
            case _:
                value = None if value is None else _mutated(draw, value)
        arrival = case.arrival_ms + draw.choice((0, 0, 0, -300_000, -1, 1, draw.randrange(-(10**12), 10**12)))
        expected = _line(validate(topic, key, value, arrival))
        assert java.verdict(topic, key, value, arrival) == expected, (seed, topic, key, value, arrival)
        seen[expected.split("\t")[0]] += 1
    assert set(seen) == {"valid", *Reason}


_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from('\\"/u0dDeE89aA\ud83d\ude00'), max_size=8)
"""Any text, lone surrogates too: written as escapes."""
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_TIMES = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?", fullmatch=True
)
_ZONES = st.from_regex(r"Z|z||[+-][012][0-9]:?[0-6][0-9]", fullmatch=True)
_NUMBERS = st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


def _written(value: object) -> bytes:
    return json.dumps(value).encode()


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(data=st.data())
def test_well_formed_events_with_any_field_values_get_one_verdict(java: JavaValidator, data: st.DataObject) -> None:
    topic = data.draw(st.sampled_from(tuple(EVENTS)))
    sample = next(c for c in CASES if c.topic == topic and isinstance(c.verdict, Valid))
    assert sample.value is not None
    replaced = data.draw(st.sampled_from(EVENTS[topic].fields))
    written = data.draw(
        _JSON.map(_written)
        | st.tuples(_TIMES, _ZONES).map("".join).map(_written)
        | _NUMBERS.map(str.encode)
        | st.just(b'"' + b"\\u00e9" * data.draw(st.integers(120, 135)) + b'"')
    )
    unknown = data.draw(
        st.just(b"") | st.tuples(_TEXT, _JSON).map(lambda p: b"," + _written(p[0]) + b":" + _written(p[1]))
    )
    members = [
        b'"%s":%s' % (name.encode(), written if name == replaced.name else _written(value))
        for name, value in json.loads(sample.value).items()
    ]
    value = b"{" + b",".join(members) + unknown + b"}"
    assert java.verdict(topic, sample.key, value, ARRIVAL) == _line(validate(topic, sample.key, value, ARRIVAL))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(
    st.sampled_from(tuple(EVENTS)),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.none() | st.binary(max_size=200),
)
def test_record_hashes_agree(java: JavaValidator, topic: str, partition: int, offset: int, value: bytes | None) -> None:
    answer = java.ask("hash", topic, str(partition), str(offset), _column(value))
    assert int(answer) == record_hash(topic, partition, offset, value)
