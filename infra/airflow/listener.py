"""Stops the remote process of a task that somebody marks, also before a triggerer has taken up its trigger.

A trigger's `on_kill` is called only once a triggerer runs the trigger: some seconds after the task deferred. Who
marks the task in between would leave the process running until its lease ends. Airflow tells listeners of such a
change in the API server, at once.
"""

from typing import Any

from airflow.listeners import hookimpl

from infra.local import batch
from infra.local.batch import Submission, work_of
from lakehouse.settings import load_settings


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001
    _stop(task_instance)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:  # noqa: ARG001
    _stop(task_instance)


def _stop(task: Any) -> None:
    work = work_of(task.dag_id, task.run_id, task.task_id, task.map_index)
    batch.stop_if_known(load_settings(), Submission(work, task.try_number))
