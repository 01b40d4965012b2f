"""Flink, as bounded jobs of the session cluster, appending to a table that others write too."""

from lakehouse.contracts.flink import delta_sink, sink_name
from lakehouse.contracts.tables import table
from lakehouse.settings import Settings
from tests.integration.flink_jobs import run
from tests.integration.tables.writing import NAME, Acknowledged

ROWS_PER_SECOND = 20
_SOURCE = """\
CREATE TEMPORARY TABLE numbers (n BIGINT) WITH (
  'connector' = 'datagen', 'rows-per-second' = '{rate}',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}'
)"""


def append_by_flink(settings: Settings, name: str, seconds: int) -> Acknowledged:
    """Runs a job to its end, which acknowledges all its rows; it commits one version per checkpoint."""
    contract, rows = table(NAME), ROWS_PER_SECOND * seconds
    tables = [delta_sink(contract, settings.table_path(NAME, "s3a")), _SOURCE.format(rate=ROWS_PER_SECOND, rows=rows)]
    values = f"'{name}', TO_TIMESTAMP_LTZ(0, 3), 't', CAST(1 AS BIGINT), n, n, CAST(0 AS BIGINT), TRUE"
    columns = "run_id, checked_at, `table`, version, rows_checked, expectations, failed, success"
    insert = f"INSERT INTO {sink_name(contract)} ({columns}) SELECT {values} FROM numbers"  # noqa: S608
    # A conflict that the sink doesn't get over is a restart, which is not the end.
    run(settings, name, tables, [insert], seconds + 300, failed=("FAILED", "CANCELED"))
    return Acknowledged(name, rows)
