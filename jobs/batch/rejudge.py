"""Judges anew, by today's rule of validity, what was brought in under another, and makes anew what follows from it.

Called by ``lakehouse rejudge --apply``. The records go first, from bronze to the dead letters or back
(`lakehouse.rejudge.moves`); then, from bronze as it is now: versions, silver events, and by the stream's own refreshes
all that the events affect which were taken away or brought, as after a micro-batch; then the marts' days. Beside the
follower the records are moved alone: it follows what bronze has become, and the marts are published from the cut after.

The Spark driver must be stopped. Which events a run moves is written down before (`lakehouse.rejudge.trail`),
and each step computes rows from what its sources hold and replaces others by them: a run that is killed at any point is
repeated by the next one, which finds its steps done or does them.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl
from pyspark.sql import DataFrame

from jobs.rust_engines import MARTS, fraud, publish_day, transactions
from jobs.spark_session import build_session
from jobs.streaming.spark import events, versions
from jobs.streaming.spark.delta_tables import DeltaTables
from jobs.streaming.spark.progress import Journal, half_done, journal_path
from jobs.streaming.spark.refreshes import Refreshes
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import CLICKS, PRODUCTS, PROFILES, PURCHASES, TRANSACTIONS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.contracts.tables import BRONZE, DEAD_LETTERS, TABLES
from lakehouse.cuts import NoCutError, versions_of, wait_for_cut
from lakehouse.delta import TableMissingError, create_table, scan
from lakehouse.delta.notes import Asked
from lakehouse.rejudge import trail
from lakehouse.rejudge.judged import TOPICS, Census, misjudged
from lakehouse.rejudge.moves import JOB, move
from lakehouse.replay.affected import Affected
from lakehouse.runtime.owners import owners_stopped
from lakehouse.settings import Settings

OWNED: Final = tuple(t.name for t in TABLES.values() if t.owner == SPARK_INGEST)
"""What is made anew, but for marts. Bronze of transactions and the dead letters have writers beside; these append."""
INGEST_SECONDS: Final = 180.0
"""How long the ingester of transactions may take to bring in what silver has."""

FOLLOW_SECONDS: Final = 600.0
"""How long the follower may take over what was moved."""

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""

log = logging.getLogger(JOB)


class RejudgeError(RuntimeError):
    """Nothing can be judged anew now; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, for these `runs` of `ops.rejudged`. `moved`: the records; `events`: by topic, how many of them are
    events that came or went; `days`: by mart, those that were published anew."""

    runs: Collection[str]
    moved: Census
    events: Mapping[str, int]
    days: Mapping[str, Sequence[date]]


def rejudge(settings: Settings, by: str, found: Census, progress: Progress = lambda _doing: None) -> Outcome:
    """Moves what is misjudged on the days of `found`, and makes anew what follows in tables, from it and from what
    earlier runs moved that are not finished. Who has done what follows elsewhere, in live values say, calls
    `trail.finish`; else the next call does all of it again.

    Raises:
        OwnerRunningError: the owner of the tables runs, or is wanted running.
        RejudgeError: one of its micro-batches is half done, or bronze is behind silver; the follower does not follow.
        TableError, ServiceDownError: a table or a service is not there.
    """
    with owners_stopped(settings, OWNED, JOBS.values()):
        if CORE is Core.SPARK:
            _require_nothing_owed(settings)
        moved = _move(settings, by, found, progress)
        runs = trail.unfinished(settings)
        judged = {topic: trail.touched(settings, topic, runs) for topic in TOPICS}
        judged = {topic: found for topic, found in judged.items() if found.height}
        published: dict[str, list[date]] = {}
        if judged:
            if CORE is Core.SPARK:
                progress("making anew what follows: starting Spark")
                _derive(settings, judged, f"judged anew in run {', '.join(sorted(runs))}", progress)
            else:
                _await_follower(settings, progress)
            for mart, of_mart in _mart_days(settings, judged):
                for day in of_mart:
                    progress(f"{mart} of {day}")
                    publish_day(settings, mart, day)
                    published.setdefault(mart, []).append(day)
        return Outcome(runs, moved, {topic: found.height for topic, found in judged.items()}, published)


def _require_nothing_owed(settings: Settings) -> None:
    if half_done(settings):
        raise RejudgeError(
            f"a micro-batch of {SPARK_INGEST} was cut off, and its rows are owed: start the job, let the batch end "
            f"(`lakehouse lag`), and try again"
        )
    _await_bronze(settings)


def _await_follower(settings: Settings, progress: Progress) -> None:
    """Raises RejudgeError: silver and gold did not follow what was moved within `FOLLOW_SECONDS`."""
    moved = versions_of(settings, BRONZE)
    try:
        wait_for_cut(settings, {}, FOLLOW_SECONDS, progress, moved)
    except NoCutError as none:
        raise RejudgeError(
            f"the records are moved, and what follows is not made anew: {none}; then try again"
        ) from none


def _move(settings: Settings, by: str, found: Census, progress: Progress) -> Census:
    run_id, census = str(uuid.uuid4()), Census()
    for topic, day in found.days:
        records = list(misjudged(settings, topic, day, census, progress))
        if records:
            trail.note(settings, run_id, by, records)
            progress(f"{topic} of {day}: moving {len(records):,} records")
            move(settings, topic, records, run_id)
            census.add(records, day)
            log.info("%s of %s: %s records judged anew", topic, day, f"{len(records):,}")
    return census


def _derive(settings: Settings, judged: Mapping[str, pl.DataFrame], label: str, progress: Progress) -> None:
    """Versions, then silver events, then what is refreshed from them."""
    for name in OWNED:
        create_table(settings, name)
    spark = build_session(settings, settings.prefixed(JOB))
    try:
        tables, note = DeltaTables(spark, settings), Asked(job=JOB, scope=label)
        for contract in (PRODUCTS, PROFILES):
            if contract.topic in judged:
                progress(f"silver.{contract.table}")
                versions.replace_versions(tables, contract, _frame(tables, judged, contract.topic), note)
        catalog = tables.version(events.VERSIONS)
        for contract in (CLICKS, PURCHASES):
            silver = events.SilverEvents(tables, contract, catalog, note)
            progress(silver.name)
            if contract.topic in judged:
                silver.settle(_frame(tables, judged, contract.topic))
            if PRODUCTS.topic in judged:
                silver.reenrich(_frame(tables, judged, PRODUCTS.topic))
        if TRANSACTIONS.topic in judged:
            progress(transactions.TABLE)
            transactions.SilverTransactions(settings, note).settle(judged[TRANSACTIONS.topic])
        progress("sessions, attribution, gold and alerts")
        journal = Journal(journal_path(settings, JOB), 0)
        journal.begin()
        clicks, purchases = (_frame(tables, judged, contract.topic) for contract in (CLICKS, PURCHASES))
        paid = judged.get(TRANSACTIONS.topic, trail.touched(settings, TRANSACTIONS.topic, ()))
        Refreshes(tables, journal, note).run(clicks, purchases, paid.select(fraud.TOUCHED))
        journal.end()
    finally:
        spark.stop()


def _frame(tables: DeltaTables, judged: Mapping[str, pl.DataFrame], topic: str) -> DataFrame:
    """The events for Spark; an empty frame where there are none."""
    found = judged[topic] if topic in judged else trail.touched(tables.settings, topic, ())
    return tables.spark.createDataFrame(found.to_arrow()).localCheckpoint()


def _mart_days(settings: Settings, judged: Mapping[str, pl.DataFrame]) -> Iterator[tuple[str, list[date]]]:
    """By mart, the days that it has and that the judged events affect; of product versions all since the first."""
    chosen = {topic: judged[topic] for topic in (CLICKS.topic, PURCHASES.topic) if topic in judged}
    affected = Affected(settings, chosen)
    for name, mart in MARTS.items():
        with suppress(TableMissingError):
            built = set(scan(settings, name).select(pl.col("event_date").unique()).collect()["event_date"])
            stale = affected.days(name) if chosen else set()
            if PRODUCTS.topic in judged and events.VERSIONS in mart.reads:
                since = judged[PRODUCTS.topic]["valid_from"].min()
                stale |= {day for day in built if day >= since.date()}  # type: ignore[union-attr]
            yield name, sorted(built & stale)


def _await_bronze(settings: Settings) -> None:
    """Waits until bronze and the dead letters have what silver was made of: transactions come into the two by different
    jobs, and silver is made anew from bronze. Raises RejudgeError: they have not, within `INGEST_SECONDS`."""
    deadline = time.monotonic() + INGEST_SECONDS
    while behind := _behind(settings):
        if time.monotonic() > deadline:
            raise RejudgeError(
                f"bronze.transactions lacks records that silver has, up to offsets {behind}: does its ingester run? "
                f"See `lakehouse job status ingest_transactions`"
            )
        time.sleep(1)


def _behind(settings: Settings) -> dict[int, int]:
    """By partition, how far silver's transactions reach beyond those that were ingested."""
    highest = pl.max("offset")
    try:
        silver = scan(settings, transactions.TABLE).group_by("partition").agg(highest).collect()
    except TableMissingError:
        return {}
    held: dict[int, int] = {}
    for name in (f"bronze.{TRANSACTIONS.table}", DEAD_LETTERS):
        with suppress(TableMissingError):
            rows = scan(settings, name).filter(topic=TRANSACTIONS.topic).group_by("partition").agg(highest).collect()
            for partition, offset in rows.iter_rows():
                held[partition] = max(offset, held.get(partition, -1))
    return {partition: offset for partition, offset in silver.iter_rows() if held.get(partition, -1) < offset}
