"""Submits the ingest of ``shop.transactions`` to the Flink session cluster.

Kafka -> ``bronze.transactions``: each record once, typed if it is valid, else as a dead letter with its reason.
"""

from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from jobs.streaming.flink.ingest import JUDGED, columns_of
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.columns import payload
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.flink import sink_name
from lakehouse.contracts.owners import INGEST_TRANSACTIONS
from lakehouse.contracts.tables import DEAD_LETTERS, table
from lakehouse.settings import Settings, load_settings

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
    tables.execute_sql(JUDGED.format(view="judged", name=TRANSACTIONS.table, topic=topic, records="source"))
    session.gateway().io.kappalakehouse.flink.EvaluatedOnce.register(tables._j_tenv, "judged_once", "judged")
    statements = tables.create_statement_set()
    for name, fields, condition in (
        (f"bronze.{TRANSACTIONS.table}", [c.name for c in payload(TRANSACTIONS)], "NULL"),
        (DEAD_LETTERS, ["reason", "field"], "NOT NULL"),
    ):
        contract = table(name)
        tables.execute_sql(session.delta_sink(settings, contract, [topic], start))
        columns = columns_of(name, fields)
        statements.add_insert_sql(WRITE.format(table=sink_name(contract), columns=columns, condition=condition))
    return session.submit(statements)


if __name__ == "__main__":
    main()
