"""``lakehouse validate``: explains the verdict on each record of a file."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cli.input_file import input_file
from cli.output import console
from lakehouse.contracts.events import (
    EARLIEST_TIME,
    EVENTS,
    LATEST_TIME,
    MAX_CLOCK_SKEW_MS,
    MAX_DEPTH,
    MAX_ID_BYTES,
    MAX_VALUE_BYTES,
    Field,
    Kind,
    bounded_by_arrival,
)
from lakehouse.contracts.times import parse_time
from lakehouse.contracts.validation import Invalid, Reason, Valid, validate, validate_value
from lakehouse.input_files import BROKEN_GZIP, opened, spoken

app = typer.Typer()


class UnreadableFileError(ValueError):
    """The file holds nothing to validate; the message names it and says why."""


def explain(topic: str, verdict: Invalid) -> str:
    """What the rule asks for where the record fails, in a sentence's half."""
    match verdict.reason:
        case Reason.NULL_VALUE:
            return "the record has no value"
        case Reason.TOO_LARGE:
            return f"the value has more than {MAX_VALUE_BYTES:,} bytes"
        case Reason.NOT_UTF8:
            return "the value is not UTF-8, or begins with a byte order mark"
        case Reason.NOT_JSON:
            return (
                "the value is not exactly one JSON object: broken syntax, a name twice, a lone surrogate, "
                f"more than {MAX_DEPTH} levels, or text after it"
            )
        case Reason.KEY_MISMATCH:
            return f"the record's key is not its {EVENTS[topic].key}"
    field = next(f for f in EVENTS[topic].fields if f.name == verdict.field)
    if verdict.reason is Reason.MISSING:
        return f"{field.name} is missing; it is {_described(field)}"
    if verdict.reason is Reason.WRONG_TYPE:
        return f"{field.name} is not {_described(field)}"
    return f"{field.name} is out of range; it is {_described(field)}"


def _described(field: Field) -> str:
    match field.kind:
        case Kind.ID:
            return f"a string of 1 to {MAX_ID_BYTES} bytes without control characters"
        case Kind.STRING if field.allowed:
            return f"one of {', '.join(field.allowed)}"
        case Kind.STRING:
            return "a string"
        case Kind.INTEGER:
            least = "" if field.minimum is None else f" of at least {field.minimum:,}"
            most = "" if field.maximum is None else f" and at most {field.maximum:,}"
            return f"a 64-bit integer{least}{most}, written without fraction or exponent"
        case Kind.TIME:
            latest = (
                f" to the arrival + {MAX_CLOCK_SKEW_MS // 60_000} min"
                if bounded_by_arrival(field)
                else f" to {LATEST_TIME}"
            )
            return f"a real time YYYY-MM-DDTHH:MM:SS[.d{{1,9}}](Z|±HH:MM) from {EARLIEST_TIME}{latest}"


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with opened(file) as stream:
            for line in stream:
                yield line.removesuffix(b"\n").removesuffix(b"\r")
    except BROKEN_GZIP as error:
        raise UnreadableFileError(f"{spoken(file)}: the gzip data are broken: {error}.") from error


def _milliseconds(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1_000_000
    moment = parse_time(text)
    if moment is None:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-07-01T12:00:00Z", param_hint="--arrival")
    return moment


def _topic(text: str) -> str:
    if text not in EVENTS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(EVENTS)}")
    return text


def _verdict(topic: str, line: bytes, separator: bytes, arrival_ms: int) -> Valid | Invalid:
    if not separator:
        return validate_value(topic, line, arrival_ms)
    key, found, value = line.partition(separator)
    return validate(topic, key if found else None, value if found else line, arrival_ms)


@app.command(
    "validate",
    epilog="Examples: lakehouse validate clicks.jsonl.gz | "
    "lakehouse validate purchases.jsonl --topic shop.purchases --all | "
    "lakehouse validate - < clicks.jsonl",
)
def validate_file(
    file: Annotated[
        Path,
        typer.Argument(
            parser=input_file,
            metavar="FILE",
            help="JSON Lines, plain or gzip, or a pipe; - is standard input.",
        ),
    ],
    topic: Annotated[str, typer.Option(callback=_topic, help="Whose contract applies.")] = "shop.clicks",
    key_separator: Annotated[
        str, typer.Option(help="What parts key and value in a line; without it, lines are values and keys not judged.")
    ] = "",
    arrival: Annotated[
        str | None, typer.Option(help="When the records arrived (2026-07-01T12:00:00Z); now without it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show the fields of valid records too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Invalid records to show; all are counted.")] = 100,
) -> None:
    """Explain the verdict on each record of a file; exit status 1 if any is invalid."""
    arrival_ms, separator, name = _milliseconds(arrival), key_separator.encode(), spoken(file)
    counts: Counter[str] = Counter()
    for number, line in enumerate(_lines(file), 1):
        verdict = _verdict(topic, line, separator, arrival_ms)
        if isinstance(verdict, Valid):
            counts["valid"] += 1
            if every:
                console.print(f"{name}:{number}: valid: {json.dumps(verdict.fields, ensure_ascii=False)}")
            continue
        counts[verdict.reason] += 1
        invalid = counts.total() - counts["valid"]
        if invalid <= limit:
            console.print(f"{name}:{number}: {verdict.reason}: {explain(topic, verdict)}")
        elif invalid == limit + 1:
            console.print(f"... more than {limit} are invalid; the others are only counted (--limit shows more)")
    if not counts:
        raise UnreadableFileError(f"{name} is empty: there is no record to validate.")
    console.print(f"{counts.total():,} records: " + ", ".join(f"{n:,} {what}" for what, n in counts.most_common()))
    if counts.total() > counts["valid"]:
        raise typer.Exit(1)
