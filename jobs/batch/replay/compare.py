"""The step that compares the recomputed rows with those that are there."""

import logging
from collections.abc import Sequence
from datetime import date

import polars as pl

from jobs.batch.replay.earlier import require, what_was_recomputed
from jobs.rust_engines import recompute as recomputation
from jobs.rust_engines.enrichment import ATTRIBUTES, VERSIONS, enriched
from jobs.rust_engines.publish import MARTS
from lakehouse.contracts.tables import table
from lakehouse.delta import open_table, scan_opened
from lakehouse.kafka.offsets import parse_offsets
from lakehouse.replay import diff, report, store
from lakehouse.replay.request import SILVER, TOPIC_OF
from lakehouse.replay.staging import delete_staged, open_staged
from lakehouse.replay.store import Replay, ReplayError, State
from lakehouse.settings import Settings

log = logging.getLogger("replay")


def compare(settings: Settings, number: int) -> None:
    """Compares the recomputed rows with those that were there at the same silver, and writes the report."""
    replay = store.get(settings, number)
    require(replay, State.RECOMPUTED, State.COMPARED, State.SWAPPING, State.DONE)
    if replay.state is not State.RECOMPUTED:
        return
    found = [difference(settings, replay, name, days) for name, days in _compared(replay)]
    # The report first: once the state says that rows were compared, nobody compares them again.
    report.write(settings, replay, found)
    kept = {"tables": [d.to_json() for d in found]}
    if error := _wrong_sources(replay, found):
        store.advance(settings, number, (State.RECOMPUTED,), State.FAILED, diff=kept, error=error)
        delete_staged(settings, number)
        raise ReplayError(error)
    store.advance(settings, number, (State.RECOMPUTED,), State.COMPARED, diff=kept)
    for d in found:
        log.info("%s: %d added, %d removed, %d changed of %d", d.table, d.added, d.removed, d.changed, d.rows_before)


def _wrong_sources(replay: Replay, found: Sequence[diff.TableDiff]) -> str | None:
    """Why marts can't be replayed: they were computed from silver as it is stored, and that is to be repaired first."""
    marts = [name for name in replay.plan.request.targets if name in MARTS]
    wrong = [d.table for d in found if table(d.table).insert_only and not d.equal]
    if not (marts and wrong):
        return None
    return (
        f"{', '.join(wrong)} differ from bronze, and {', '.join(marts)} would be computed from them: repair them by a "
        "replay of the same time without marts, then replay the marts"
    )


def _compared(replay: Replay) -> list[tuple[str, tuple[date, ...]]]:
    silver = [(SILVER[topic], replay.plan.days) for topic in replay.plan.request.topics]
    return [*silver, *((touched.table, touched.days) for touched in replay.plan.touched)]


def difference(settings: Settings, replay: Replay, name: str, days: Sequence[date]) -> diff.TableDiff:
    """Of a table, the recomputed rows of `days` against those that are there. What silver has learnt since they were
    recomputed is no difference: an event's copy from a lower position, a product version."""
    recomputed = what_was_recomputed(replay)
    staged = recomputed["staged"][name]
    after = scan_opened(settings, name, open_staged(settings, staged["path"], staged["version"]))
    # Of silver its newest version: whoever damaged it since the gold tables read it is to be found out too.
    stored = open_table(settings, name, None if table(name).insert_only else recomputed["pinned"][name])
    before = scan_opened(settings, name, stored)
    if table(name).insert_only:
        bounds = parse_offsets(recomputed["bounds"])[TOPIC_OF[name]]
        after = recomputation.not_displaced(after, recomputation.beyond(before, bounds))
        before = recomputation.within(before, bounds)
    if table(name).day:
        before, after = (frame.filter(pl.col("event_date").is_in(list(days))) for frame in (before, after))
    rows = after.collect()
    if table(name).insert_only and "product_id" in rows.columns:
        versions = open_table(settings, VERSIONS)
        if versions.version() != recomputed["pinned"][VERSIONS]:
            known = scan_opened(settings, VERSIONS, versions)
            rows = enriched(rows.drop(ATTRIBUTES), known)
    return diff.compare(name, int(stored.version()), days, before.collect(), rows)
