"""The graph of who reads what: derived, without circles, and the same that the code runs by."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.graph import app
from jobs.rust_engines.publish import MARTS
from jobs.rust_engines.recompute import RULES
from lakehouse.contracts import graph
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import TABLES, UnknownTableError
from lakehouse.kafka.topics import TOPICS
from lakehouse.semantics.metrics import SCOPES, placeholder, refresh_sql


def test_each_stands_after_what_it_is_computed_from() -> None:
    place = {name: n for n, name in enumerate(graph.ORDER)}
    assert set(place) >= {*TABLES, *TOPICS}
    assert all(place[source] < place[name] for name in graph.ORDER for source in graph.sources(name))


@pytest.mark.parametrize("name", graph.DERIVED)
def test_a_table_s_sql_names_exactly_what_it_is_computed_from(name: str) -> None:
    assert set(re.findall(r"{(\w+)}", refresh_sql(name))) == {placeholder(source) for source in TABLES[name].reads}


def test_a_job_reads_what_the_tables_that_it_writes_are_made_of() -> None:
    """By way of its own tables: whatever comes from elsewhere is among what the job says it reads."""
    for job in JOBS.values():
        own = [name for name in job.writes if name in TABLES]
        within = {name for name in own if TABLES[name].owner == job.name}
        met = {source for name in graph.upstream(within, within) for source in graph.sources(name)} - within
        assert {name for name in met if name in EVENTS} <= set(job.reads), job.name


def test_every_table_that_events_affect_comes_from_their_topics() -> None:
    """By way of bronze; a scope that names a topic which no path leads from would refresh for nothing."""
    for name, scope in SCOPES.items():
        assert set(scope.affected) <= set(graph.upstream([name])), name


def test_what_is_recomputed_and_published_is_in_the_graph() -> None:
    assert set(RULES) <= set(graph.DERIVED)
    assert all(MARTS[name].reads == graph.sources(name) for name in MARTS)


def test_downstream_is_upstream_seen_from_the_other_side() -> None:
    for name in graph.ORDER:
        assert set(graph.downstream([name])) == {other for other in graph.ORDER if name in graph.upstream([other])}


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownTableError, match="unknown table"):
        graph.upstream(["gold.nope"])


def test_the_picture_in_the_docs_is_the_graphs() -> None:
    shown = CliRunner().invoke(app, ["gold.alerts", "--format", "mermaid"]).stdout.strip()
    assert "  silver_sessions --> gold_alerts" in shown
    assert graph.mermaid(graph.LINEAGE) in Path("docs/graph.md").read_text(encoding="utf-8")
