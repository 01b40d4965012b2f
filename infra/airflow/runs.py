"""Runs of Airflow, as those know them who do something for one."""

from typing import Any

_GOES_ON = ("queued", "running")


def run_of(dag_id: str, run_id: str) -> str:
    """What names a run outside Airflow."""
    return f"{dag_id}/{run_id}"


def goes_on(run: str) -> bool:
    """Whether the run is there and has not ended. For tasks: asks Airflow by way of the one that calls it."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    dag_id, _, run_id = run.partition("/")
    found: Any = RuntimeTaskInstance.get_dr_count(dag_id, run_ids=[run_id], states=list(_GOES_ON))
    return bool(found)
