"""Submits inserts to the Flink cluster: run with Flink's Python, JSON on stdin, the job's id on stdout."""

import json
import sys

from jobs.streaming.flink import session
from lakehouse.settings import load_settings

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    tables = session.table_environment(load_settings(), asked["job"])
    for statement in asked["tables"]:
        tables.execute_sql(statement)
    inserts = tables.create_statement_set()
    for insert in asked["inserts"]:
        inserts.add_insert_sql(insert)
    print(session.submit(inserts))
