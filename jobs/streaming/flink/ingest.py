"""Kafka -> bronze by Flink: each record once, typed if it is valid, else as a dead letter with its reason."""

from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.columns import TableContract, payload
from lakehouse.contracts.events import EventContract
from lakehouse.contracts.flink import sink_name
from lakehouse.contracts.tables import DEAD_LETTERS, table
from lakehouse.settings import Settings, load_settings

JUDGED: Final = """
CREATE TEMPORARY VIEW judged AS
SELECT
  '{topic}' AS topic,
  `partition`,
  `offset`,
  arrival,
  `key`,
  `value`,
  record_hash('{topic}', `partition`, `offset`, `value`) AS record_hash,
  CAST(arrival AS DATE) AS arrival_date,
  validate(`key`, `value`, arrival) AS event
FROM source
"""

WRITE: Final = """
INSERT INTO {table}
SELECT {columns}
FROM judged_once
WHERE event.reason IS {condition}
"""


def main(job: str, event: EventContract, target: str, *, dead_letters: bool, arguments: Sequence[str] | None) -> None:
    """Submit the ingest of `event`'s topic into the bronze table `target` as the arguments say; prints the job's id."""
    description = f"Submits the ingest of {event.topic} into {target} to the Flink session cluster."
    start = parse_start(job, description, arguments)
    print(submit(load_settings(), job, event, table(target), start, dead_letters=dead_letters))  # noqa: T201


def submit(
    settings: Settings,
    job: str,
    event: EventContract,
    target: TableContract,
    start: Start,
    *,
    dead_letters: bool,
) -> str:
    """Submit the job and return its id; raises what `session.submit` raises.

    Valid records go to `target`, the others, with `dead_letters`, to ``bronze.dead_letters``: a topic has one such job.
    """
    tables = session.table_environment(settings, job, start)
    validator = f"io.kappalakehouse.flink.Validate{event.table.capitalize()}"
    tables.create_java_temporary_function("validate", validator)
    tables.create_java_temporary_function("record_hash", "io.kappalakehouse.flink.RecordHash")
    tables.execute_sql(session.kafka_source(settings, "source", event.topic, job, start))
    tables.execute_sql(JUDGED.format(topic=event.topic))
    session.gateway().io.kappalakehouse.flink.EvaluatedOnce.register(tables._j_tenv, "judged_once", "judged")
    writes = [(target, [c.name for c in payload(event)], "NULL")]
    if dead_letters:
        writes.append((table(DEAD_LETTERS), ["reason", "field"], "NOT NULL"))
    statements = tables.create_statement_set()
    for contract, fields, condition in writes:
        tables.execute_sql(session.delta_sink(settings, contract, event.topic, start))
        columns = ", ".join(f"event.`{name}`" if name in fields else f"`{name}`" for name in contract.column_names)
        statements.add_insert_sql(WRITE.format(table=sink_name(contract), columns=columns, condition=condition))
    return session.submit(statements)
