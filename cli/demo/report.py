"""What a demo run found, judged and put into the report's form."""

import os
from datetime import UTC, datetime
from typing import Any, Final

from cli.demo.figures import benchmark_figures, rates
from cli.demo.run import Demo
from jobs import journal
from lakehouse.alerts import OPENED, WITHDRAWN, alert_history
from lakehouse.compare import Accounting, Comparison
from lakehouse.compare.sent import alerts_sent
from lakehouse.delta import scan
from lakehouse.kafka.topics import ALERTS
from lakehouse.ledger import Audit
from lakehouse.report import (
    AlertCount,
    Demand,
    DemoResult,
    Enrichment,
    Freshness,
    Ledger,
    LedgerRows,
    Link,
    MicroBatch,
    Step,
    TableResult,
    TopicAccount,
)
from lakehouse.settings import Settings

ENRICHED_AT_LEAST: Final = 0.9
_RULE: Final = "ctr_anomaly"


def build_result(demo: Demo, comparison: Comparison, audit: Audit, began: datetime) -> DemoResult:
    """Everything the run found; `DemoResult.ok` is its verdict."""
    accounting = comparison.accounting
    alerts = _alerts(demo.settings, comparison)
    finished = list(journal.finished(demo.settings, began))
    batches = [_batch(entry) for entry in finished]
    return DemoResult(
        title="Kappa Lakehouse demo",
        started_at_ms=int(began.timestamp() * 1000),
        seed=demo.day.seed,
        parameters={"day": demo.day.day, "clicks": f"{demo.day.clicks:,}", "cores": str(os.cpu_count())},
        steps=[Step(name, seconds) for name, seconds in demo.progress.seconds.items()],
        demands=[
            *_data_demands(comparison, alerts, batches),
            *_enrichment_demand(accounting),
            *_architecture_demands(demo),
        ],
        tables=[
            TableResult(t.table, t.rows_compared, t.missing, t.unexpected, t.different, t.version)
            for t in comparison.tables
        ],
        accounts=[
            TopicAccount(topic, a.read, a.used, a.duplicate, dict(a.dead), a.on_time, a.late, a.very_late)
            for topic, a in accounting.topics.items()
        ],
        ledger=_ledger(audit),
        batches=batches,
        enrichment=[Enrichment("silver events", accounting.events_with_product, accounting.enriched_events)],
        alerts=[alerts],
        said=list(comparison.said),
        freshness=[_until_gold(demo.settings, finished), _until_decided(demo.settings)],
        figures=[*rates(batches), *benchmark_figures()],
        facts={
            "merged sessions": accounting.merged_sessions,
            "attributed purchases": accounting.attributed_purchases,
            "flagged transactions": accounting.flagged_transactions,
            "blocked transactions": accounting.blocked_transactions,
        },
        peak_memory_bytes=dict(demo.memory.peak.most_common()),
        links=[*links(demo.settings), *_architecture_links(demo)],
    )


def _ledger(audit: Audit) -> Ledger:
    return Ledger(
        audit.verdict,
        sum(audit.records.values()),
        audit.seconds,
        audit.accounts,
        [LedgerRows(s.table or "", s.records, f"{s.hash_sum:,}", s.version) for s in audit.derived],
        [str(finding) for finding in audit.findings],
        list(audit.notes),
    )


def links(settings: Settings) -> list[Link]:
    """Where to look after a run."""
    login = f"user {settings.airflow_user}, password in {settings.credentials_file}"
    return [
        Link("Airflow", f"http://{settings.host}:{settings.airflow_port}", login),
        Link("Flink", f"http://{settings.host}:{settings.flink_port}"),
        Link("MinIO", f"http://{settings.host}:{settings.minio_console_port}", f"keys in {settings.credentials_file}"),
    ]


def _data_demands(comparison: Comparison, alerts: AlertCount, batches: list[MicroBatch]) -> list[Demand]:
    """The data must hold what the checks are about: a comparison of easy data proves little."""
    accounting, total = comparison.accounting, comparison.accounting.total
    counts = {
        "late records": total.late,
        "very late records": total.very_late,
        "duplicate records": total.duplicate,
        "dead records": total.dead_letters,
        "merged sessions": accounting.merged_sessions,
        "attributed purchases": accounting.attributed_purchases,
        "flagged transactions": accounting.flagged_transactions,
        "blocked transactions": accounting.blocked_transactions,
        "opened alerts": alerts.opened,
        "withdrawn alerts": alerts.withdrawn,
        **{f"alerts of {said.rule}": said.alerted for said in comparison.said},
        "transactions that changed what is true of others decided before": sum(s.late for s in comparison.said),
        "batches of the running core": len(batches),
    }
    return [Demand(f"The data hold {name}", count > 0, f"{count:,}") for name, count in counts.items()]


def _enrichment_demand(accounting: Accounting) -> list[Demand]:
    share = accounting.enriched_share
    seen = f"{share:.1%} of {accounting.events_with_product:,}, at least {ENRICHED_AT_LEAST:.0%} wanted"
    return [Demand("Events with a product are enriched", share >= ENRICHED_AT_LEAST, seen)]


def _architecture_demands(demo: Demo) -> list[Demand]:
    compared = demo.architectures.equality if demo.architectures else []
    return [
        Demand(f"Lambda's {each.table} equals Kappa's {each.against}", each.equal, f"{each.rows:,} rows")
        for each in compared
    ]


def _architecture_links(demo: Demo) -> list[Link]:
    page = demo.architectures_page
    return [Link("Lambda beside Kappa", page.as_uri())] if page else []


def _alerts(settings: Settings, comparison: Comparison) -> AlertCount:
    history = alert_history(alerts_sent(settings))
    (compared,) = (t for t in comparison.tables if t.table == ALERTS)
    expected_open = compared.rows_compared + compared.missing
    return AlertCount(_RULE, history.turns[OPENED], history.turns[WITHDRAWN], len(history.open), expected_open)


def _until_gold(settings: Settings, finished: list[dict[str, Any]]) -> Freshness:
    """Of a backlog that is sent as fast as it goes: nearly all of it is waiting. No target is held to it."""
    seconds = journal.until_gold(settings, finished)["seconds"]
    p50, p99 = (float(seconds.quantile(q) or 0) for q in (0.5, 0.99))
    return Freshness("gold, while the backlog of this run was worked off", seconds.len(), p50, p99)


def _until_decided(settings: Settings) -> Freshness:
    """From a transaction's arrival to Flink's decision; the commit to Delta comes with the next checkpoint."""
    times = scan(settings, "silver.fraud_online").select("arrival", "decided_at").collect()
    seconds = (times["decided_at"] - times["arrival"]).dt.total_milliseconds() / 1000
    p50, p99 = (float(seconds.quantile(q) or 0) for q in (0.5, 0.99))
    return Freshness("a decision on fraud, at the speed of this run", seconds.len(), p50, p99)


def _batch(entry: dict[str, Any]) -> MicroBatch:
    started = datetime.fromisoformat(entry["started_at"]).astimezone(UTC)
    return MicroBatch(
        entry["batch_id"],
        int(started.timestamp() * 1000),
        entry["input_rows"],
        entry["total_seconds"],
        entry["seconds"],
    )
