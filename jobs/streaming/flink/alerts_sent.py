"""Submits the record of all alerts to the Flink session cluster.

``shop.alerts`` -> ``silver.alerts_sent``, every record of it with its position, whoever sent it. An alert that was sent
again after a restart is there twice, for it was said twice; `dedup_key` tells.
"""

from collections.abc import Sequence
from typing import Final

from jobs.streaming.flink import session
from jobs.streaming.flink.start import Start, parse_start
from lakehouse.contracts.tables import table
from lakehouse.kafka.topics import ALERTS
from lakehouse.settings import Settings, load_settings

JOB: Final = "alerts_sent"
TABLE: Final = "silver.alerts_sent"

WRITE: Final = """
INSERT INTO silver_alerts_sent
SELECT
  JSON_VALUE(text, '$.rule'),
  JSON_VALUE(text, '$.state'),
  JSON_VALUE(text, '$.dedup_key'),
  'shop.alerts',
  `partition`,
  `offset`,
  arrival,
  `key`,
  `value`,
  record_hash('shop.alerts', `partition`, `offset`, `value`),
  CAST(arrival AS DATE)
FROM (SELECT *, DECODE(`value`, 'UTF-8') AS text FROM alerts)
"""


def main(arguments: Sequence[str] | None = None) -> None:
    print(submit(load_settings(), parse_start(JOB, __doc__, arguments)))  # noqa: T201


def submit(settings: Settings, start: Start) -> str:
    """Submit the job and return its id; raises what `session.submit` raises."""
    # Few records, and each slot costs memory.
    tables = session.table_environment(settings.model_copy(update={"parallelism": 1}), JOB, start)
    session.create_functions(tables, [])
    tables.execute_sql(session.kafka_source(settings, "alerts", [ALERTS], JOB, start))
    tables.execute_sql(session.delta_sink(settings, table(TABLE), [ALERTS], start))
    statements = tables.create_statement_set()
    statements.add_insert_sql(WRITE)
    return session.submit(statements)


if __name__ == "__main__":
    main()
