"""Submits the ingest of all topics to the Flink session cluster.

Kafka -> one validator -> bronze: each record once, typed if it is valid, else as a dead letter with its reason. One
checkpoint commits to all tables, and each commit says how far its rows go in the topics (`lakehouse.cuts`).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from jobs.streaming.flink import session
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.columns import payload
from lakehouse.contracts.events import EVENTS, EventContract
from lakehouse.contracts.flink import sink_name
from lakehouse.contracts.owners import INGEST
from lakehouse.contracts.tables import DEAD_LETTERS, INGESTED, table
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyflink.table import StreamTableEnvironment

# The topic is a constant again: in Kafka it has a namespace.
JUDGED: Final = """
CREATE TEMPORARY VIEW {view} AS
SELECT
  '{topic}' AS topic,
  `partition`,
  `offset`,
  arrival,
  `key`,
  `value`,
  record_hash('{topic}', `partition`, `offset`, `value`) AS record_hash,
  CAST(arrival AS DATE) AS arrival_date,
  validate_{name}(`key`, `value`, arrival) AS event
FROM {records}
"""
VALID: Final = "INSERT INTO {table} SELECT {columns} FROM judged_once_{name} WHERE event.reason IS NULL"
INVALID: Final = "SELECT {columns} FROM judged_once_{name} WHERE event.reason IS NOT NULL"


def main(arguments: Sequence[str] | None = None) -> None:
    print(submit(load_settings(), parse_start(INGEST, __doc__, arguments, generation=True)))  # noqa: T201


def submit(settings: Settings, start: Start) -> str:
    """Submit the job and return its id; raises what `session.submit` raises."""
    tables = session.table_environment(settings, INGEST, start)
    session.create_functions(tables, EVENTS)
    tables.execute_sql(session.kafka_source(settings, "source", tuple(EVENTS), INGEST, start))
    once = session.gateway().io.kappalakehouse.flink.EvaluatedOnce
    # Its id names what Flink keeps of the source: a topic more makes other operators, and the positions stay.
    once.register(tables._j_tenv, "records", "source", "kafka")
    statements = tables.create_statement_set()
    for event in EVENTS.values():
        own = f"records WHERE topic = '{settings.prefixed(event.topic)}'"
        view = f"judged_{event.table}"
        tables.execute_sql(JUDGED.format(view=view, name=event.table, topic=event.topic, records=own))
        once.register(tables._j_tenv, f"judged_once_{event.table}", view)
        columns = columns_of(f"bronze.{event.table}", [c.name for c in payload(event)])
        target = _sink(tables, settings, f"bronze.{event.table}", [event], start)
        statements.add_insert_sql(VALID.format(table=target, columns=columns, name=event.table))
    columns = columns_of(DEAD_LETTERS, ["reason", "field"])
    invalid = " UNION ALL ".join(INVALID.format(columns=columns, name=event.table) for event in EVENTS.values())
    statements.add_insert_sql(f"INSERT INTO {_sink(tables, settings, DEAD_LETTERS, EVENTS.values(), start)} {invalid}")
    return session.submit(statements)


def columns_of(name: str, of_event: Sequence[str]) -> str:
    """A table's columns; those `of_event` are fields of what the validator says."""
    names = table(name).column_names
    return ", ".join(f"event.`{column}`" if column in of_event else f"`{column}`" for column in names)


def _sink(
    tables: "StreamTableEnvironment",
    settings: Settings,
    name: str,
    events: Iterable[EventContract],
    start: Start,
) -> str:
    """Declares the bronze table as a sink for the records of `events`, and returns its name in SQL."""
    contract = table(name + INGESTED)
    topics = [event.topic for event in events]
    tables.execute_sql(session.delta_sink(settings, contract, topics, start, reader=f"{INGEST}@{start.generation}"))
    return sink_name(contract)


if __name__ == "__main__":
    main()
