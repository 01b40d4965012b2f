"""Submits the ingest of ``shop.transactions`` to the Flink session cluster.

Kafka -> ``bronze.transactions``: each record once, typed if it is valid, else as a dead letter with its reason.
"""

from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.columns import payload
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.flink import sink_name
from lakehouse.contracts.owners import INGEST_TRANSACTIONS
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
  validate_transactions(`key`, `value`, arrival) AS event
FROM source
"""

WRITE: Final = """
INSERT INTO {table}
SELECT {columns}
FROM judged_once
WHERE event.reason IS {condition}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    print(submit(load_settings(), parse_start(INGEST_TRANSACTIONS, __doc__, arguments)))  # noqa: T201


def submit(settings: Settings, start: Start) -> str:
    """Submit the job and return its id; raises what `session.submit` raises."""
    topic = TRANSACTIONS.topic
    tables = session.table_environment(settings, INGEST_TRANSACTIONS, start)
    session.create_functions(tables, [topic])
    tables.execute_sql(session.kafka_source(settings, "source", [topic], INGEST_TRANSACTIONS, start))
    tables.execute_sql(JUDGED.format(topic=topic))
    session.gateway().io.kappalakehouse.flink.EvaluatedOnce.register(tables._j_tenv, "judged_once", "judged")
    statements = tables.create_statement_set()
    for name, fields, condition in (
        (f"bronze.{TRANSACTIONS.table}", [c.name for c in payload(TRANSACTIONS)], "NULL"),
        (DEAD_LETTERS, ["reason", "field"], "NOT NULL"),
    ):
        contract = table(name)
        tables.execute_sql(session.delta_sink(settings, contract, [topic], start))
        columns = ", ".join(f"event.`{name}`" if name in fields else f"`{name}`" for name in contract.column_names)
        statements.add_insert_sql(WRITE.format(table=sink_name(contract), columns=columns, condition=condition))
    return session.submit(statements)


if __name__ == "__main__":
    main()
