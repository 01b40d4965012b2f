"""Lambda's batch layer, every hour."""

from datetime import datetime

from airflow.sdk import DAG, CronTriggerTimetable

from dags.assets import table_asset
from infra.airflow.remote import RemoteProcessOperator
from lakehouse.contracts.owners import LAMBDA_BATCH
from lakehouse.contracts.tables import TABLES

with DAG(
    "lambda_batch",
    schedule=CronTriggerTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["lambda"],
    doc_md="""
### Lambda's batch layer

A Spark batch job counts everything that bronze holds, from the first record to where bronze ends now (the cut), and
writes `lambda.batch_*` anew. The speed layer (`lakehouse job start lambda_speed`) learns of the cut from the last
commit, drops what it had counted before it, and goes on from there. The variant runs beside Kappa for comparison, so
this DAG is paused until somebody wants it. `lakehouse lambda compare` merges both layers and compares them with Kappa.
""",
):
    RemoteProcessOperator(
        task_id="batch",
        module="jobs.batch.lambda_batch",
        inlets=[table_asset("bronze.clicks"), table_asset("bronze.purchases")],
        outlets=[table_asset(t.name) for t in TABLES.values() if t.owner == LAMBDA_BATCH],
    )
