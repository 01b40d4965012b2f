"""Flink, as bounded jobs of the session cluster, appending to a table that others write too."""

import json
import os
import subprocess
from time import monotonic, sleep

import httpx

from lakehouse.contracts.flink import delta_sink, sink_name
from lakehouse.contracts.tables import table
from lakehouse.runtime import flink_home
from lakehouse.settings import ROOT, Settings
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
    insert = f"INSERT INTO {sink_name(contract)} SELECT {values} FROM numbers"  # noqa: S608
    asked = {"job": name, "tables": tables, "inserts": [insert]}
    submitted = subprocess.run(
        [flink_home.python(settings), "-m", "tests.integration.flink_sql"],
        input=json.dumps(asked),
        env=dict(os.environ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert submitted.returncode == 0, submitted.stderr[-3000:]
    url = f"http://{settings.host}:{settings.flink_port}/jobs/{submitted.stdout.split()[-1]}"
    deadline = monotonic() + seconds + 300
    while (state := httpx.get(url).json()["state"]) != "FINISHED":
        assert state not in ("FAILED", "CANCELED"), httpx.get(f"{url}/exceptions").text[:3000]
        assert monotonic() < deadline, f"{name} is {state}"
        sleep(0.5)
    return Acknowledged(name, rows)
