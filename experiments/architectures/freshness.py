"""How fresh the tables that serve were, by what their writers noted."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import polars as pl

from experiments.architectures.result import Freshness
from experiments.architectures.streams import KAPPA
from jobs.streaming.spark.progress import journal_path
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.tables import LAMBDA_METRICS
from lakehouse.delta import open_table, scan
from lakehouse.delta.describe import newest_first
from lakehouse.delta.notes import Added
from lakehouse.lambda_layers import speed_table
from lakehouse.settings import Settings

Marks = Iterable[tuple[datetime, Mapping[int, int]]]
"""When the tables had counted clicks up to which offset of each partition."""


def of_kappa(settings: Settings) -> Marks:
    """The ends of the stream's micro-batches: every table is refreshed by then."""
    for line in journal_path(settings, KAPPA).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["event"] == "end" and entry["input_rows"]:
            spans = entry["offsets"].get(CLICKS.topic, {})
            ended = datetime.fromisoformat(entry["ended_at"]).astimezone(UTC)
            yield ended, {int(p): span["to"] for p, span in spans.items()}


def of_lambda(settings: Settings) -> Marks:
    """The commits of the speed table that is written last."""
    for commit in newest_first(open_table(settings, speed_table(next(reversed(LAMBDA_METRICS))))):
        if isinstance(commit.note, Added):
            yield commit.at, commit.note.ends.get(CLICKS.topic, {})


def freshness(settings: Settings, marks: Marks, since: datetime) -> Freshness:
    """Of the clicks in bronze that arrived after `since`. Raises what `lakehouse.delta.scan` raises."""
    rows = [(p, end, at) for at, ends in marks for p, end in ends.items()]
    schema = pl.Schema({"partition": pl.Int32(), "end": pl.Int64(), "at": pl.Datetime("us", "UTC")})
    known = pl.DataFrame(rows, schema=schema, orient="row").group_by("partition", "end").agg(pl.col("at").min())
    clicks = (
        scan(settings, f"bronze.{CLICKS.table}")
        .filter(pl.col("arrival") > since)
        .select("partition", "arrival", end=pl.col("offset") + 1)
        .collect()
    )
    waited = (
        clicks.sort("end")
        .join_asof(known.sort("end"), on="end", by="partition", strategy="forward", check_sortedness=False)
        .select("arrival", seconds=(pl.col("at") - pl.col("arrival")).dt.total_milliseconds() / 1000)
        .drop_nulls()
    )
    first = waited["arrival"].min()
    elapsed = (pl.col("arrival") - pl.lit(first)).dt.total_seconds()
    by_second = waited.group_by(elapsed.alias("second")).agg(pl.col("seconds").max()).sort("second")
    p50, p99, highest = (float(waited["seconds"].quantile(q) or 0) for q in (0.5, 0.99, 1.0))
    return Freshness(waited.height, p50, p99, highest, [(float(s), float(v)) for s, v in by_second.iter_rows()])
