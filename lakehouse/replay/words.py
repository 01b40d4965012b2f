"""A plan in words, as Markdown: what an operator approves."""

from datetime import UTC, datetime

from lakehouse.replay.plan import Plan, listed
from lakehouse.replay.store import Replay


def describe(replay: Replay) -> str:
    """The plan of `replay`: what it reads, what it rewrites, how long it may take, how far back undo will reach."""
    plan = replay.plan
    request = plan.request
    events = ", ".join(f"{count:,} of {topic}" for topic, count in plan.events.items())
    took = "no earlier replay to tell from" if plan.estimated_seconds is None else _minutes(plan.estimated_seconds)
    days = "a day" if len(plan.days) == 1 else f"{len(plan.days)} days"
    lines = [
        f"**Replay {replay.id}**: events from {request.start:%Y-%m-%d %H:%M:%SZ} to {request.end:%Y-%m-%d %H:%M:%SZ} "
        f"by {request.clock} time, recomputed by {request.engine}, code {plan.code_version}.",
        "",
        f"- In the range: {events}; {sum(plan.users.values()):,} users.",
        f"- To recompute {days}, {plan.reads:,} events are read; estimate: {took}.",
        f"- {_where(plan)}",
        *_code(plan),
        f"- Undo reaches until {plan.undo_reaches(datetime.now(UTC)):%Y-%m-%d} if it is swapped in today.",
        "",
        "| table | affected rows | days rewritten | files | bytes |",
        "|---|---|---|---|---|",
        *(f"| {t.table} | {t.rows:,} | {listed(t.days) or 'all'} | {t.files} | {t.bytes:,} |" for t in plan.touched),
        "",
        "| partition | offsets that may hold the range | known from | Kafka begins at |",
        "|---|---|---|---|",
        *_offsets(plan),
    ]
    return "\n".join(lines)


def _code(plan: Plan) -> list[str]:
    if not plan.changes_code:
        return []
    return [
        f"- The stream runs code {plan.code_before}: the swap starts it again with {plan.code_version}, and an undo "
        f"with {plan.code_before}."
    ]


def _where(plan: Plan) -> str:
    """Who still has the records of the range."""
    if not plan.beyond_kafka:
        return "Kafka holds the range whole; its time index gave the offsets, with a minute of lookback."
    versions = ", ".join(f"of {topic} at version {version}" for topic, version in plan.bronze.items())
    return f"Kafka no longer holds all of the range: where it doesn't, bronze gave the offsets ({versions})."


def _offsets(plan: Plan) -> list[str]:
    return [
        f"| {topic}[{partition}] | {found.first:,} to {found.end:,} | {found.source} | {found.kafka_begins:,} |"
        for topic, partitions in plan.offsets.items()
        for partition, found in sorted(partitions.items())
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
