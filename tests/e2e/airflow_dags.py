"""DAGs of the tests: copied into a stack's own DAG folder, never part of the product's."""

from datetime import datetime

from airflow.sdk import DAG

from infra.airflow.remote import RemoteProcessOperator

# A web server on a port that the kernel picks never ends by itself.
ENDLESS = {"module": "http.server", "arguments": ["0", "--bind", "127.0.0.1"], "poll_seconds": 0.5}

with DAG("endless_deferred", schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=False):
    RemoteProcessOperator(task_id="work", **ENDLESS)

with DAG("endless_held", schedule=None, start_date=datetime(2026, 1, 1), is_paused_upon_creation=False):
    RemoteProcessOperator(task_id="work", deferrable=False, **ENDLESS)
