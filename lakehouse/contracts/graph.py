"""The graph of topics, tables, jobs and what lies outside: who reads what, derived from the contracts.

A table is computed from what its contract `reads`; a topic, and what lies outside (Redis, Slack, ...), from what the
jobs read that write it. Nothing else in the repository says who reads what.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Final

from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.jobs import JOBS, JobSpec
from lakehouse.contracts.owners import FOLLOWER, INGEST, SPARK_INGEST
from lakehouse.contracts.tables import TABLES, table


def _sources() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = dict.fromkeys(EVENTS, ())
    found |= {contract.name: contract.reads for contract in TABLES.values()}
    for job in JOBS.values():
        for name in job.writes:
            if name not in TABLES:
                found[name] = tuple(dict.fromkeys((*found.get(name, ()), *job.reads)))
    return found


SOURCES: Final[Mapping[str, tuple[str, ...]]] = _sources()
"""By topic, table or what lies outside: the topics and tables that it is computed from, directly."""


def _ordered() -> tuple[str, ...]:
    TopologicalSorter(SOURCES).prepare()  # raises CycleError, which names the circle
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        if name not in placed:
            for source in SOURCES[name]:
                place(source)
            placed[name] = None

    for name in SOURCES:
        place(name)
    return tuple(placed)


ORDER: Final = _ordered()
"""All of these, each after those that it is computed from."""

STREAM: Final = FOLLOWER if CORE is Core.FOLLOWER else SPARK_INGEST
"""The job that makes silver and gold."""

DERIVED: Final = tuple(
    name
    for name in ORDER
    if name in TABLES and TABLES[name].owner == STREAM and TABLES[name].layer in ("silver", "gold")
)
"""What the core makes of bronze: silver and gold."""

LINEAGE: Final = tuple(
    name
    for name in ORDER
    if (SOURCES[name] or any(name in read for read in SOURCES.values()))
    and not (name in TABLES and TABLES[name].owner in (INGEST, FOLLOWER) and TABLES[name].variant_of)
)
"""What is computed from something, or something from it; the others are records of runs. The tables of Flink's ingest
and of the follower read one another as those do that they are variants of."""

_TITLES: Final = {"shop": "topics"}

REFRESHED: Final = tuple(name for name in DERIVED if not TABLES[name].insert_only)
"""Those of them that are recomputed where silver's events have changed."""

EVENT_TABLES: Final = tuple(name for name in DERIVED if TABLES[name].insert_only)
"""Silver's events, each once: what all else is computed from."""


def upstream(names: Iterable[str], within: Collection[str] = ORDER) -> tuple[str, ...]:
    """`names` and whatever they are computed from by way of `within`, each after those that it is computed from.

    Raises:
        UnknownTableError: a name that is nothing in the graph.
    """
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += [source for source in sources(name) if source in within]
    return tuple(name for name in ORDER if name in wanted)


def downstream(names: Iterable[str]) -> tuple[str, ...]:
    """`names` and whatever is computed from them, each after those that it is computed from. Raises as `upstream`."""
    wanted = set(names)
    for name in wanted:
        sources(name)
    for name in ORDER:
        if wanted & set(SOURCES[name]):
            wanted.add(name)
    return tuple(name for name in ORDER if name in wanted)


def sources(name: str) -> tuple[str, ...]:
    """What `name` is computed from, directly. Raises UnknownTableError: it is nothing in the graph."""
    return SOURCES[name] if name in SOURCES else table(name).reads


def readers(name: str) -> tuple[str, ...]:
    """What is computed from `name`, directly. Raises UnknownTableError: it is nothing in the graph."""
    sources(name)
    return tuple(reader for reader in ORDER if name in SOURCES[reader])


def events_behind(name: str) -> tuple[str, ...]:
    """Those of `EVENT_TABLES` that `name` is computed from, be it by way of others. Raises as `sources`."""
    return tuple(source for source in upstream([name]) if source in EVENT_TABLES and source != name)


def finer(name: str) -> str:
    """The table among the sources of `name` whose rows add up events already; empty where it has none."""
    return next((source for source in sources(name) if _adds_up(source)), "")


def counted(name: str) -> tuple[str, ...]:
    """The sources of `name` whose rows are events or add up events; versions of products are neither."""
    return tuple(source for source in sources(name) if source in EVENT_TABLES or _adds_up(source))


def _adds_up(name: str) -> bool:
    return name in TABLES and "fingerprint" in TABLES[name].column_names


def writers(name: str) -> tuple[JobSpec, ...]:
    """The long-running jobs that write `name`; none for what a DAG or a command writes."""
    return tuple(job for job in JOBS.values() if name in job.writes)


def owners(name: str) -> list[str]:
    """Who writes a table, by its contract; nobody of a topic."""
    return [TABLES[name].owner] if name in TABLES else []


def mermaid(names: Sequence[str]) -> str:
    """A picture of `names` and what leads from one to another; arrows carry nothing, boxes are grouped by layer."""
    lines = ["flowchart LR"]
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.split(".")[0] if "." in name else "outside", []).append(name)
    for layer, held in layers.items():
        boxes = (f"    {_id(name)}[{name.removeprefix(f'{layer}.')}]" for name in held)
        lines += [f"  subgraph {_TITLES.get(layer, layer)}", *boxes, "  end"]
    for name in names:
        lines += [f"  {_id(source)} --> {_id(name)}" for source in sources(name) if source in names]
    return "\n".join(lines)


def _id(name: str) -> str:
    return name.replace(".", "_")
