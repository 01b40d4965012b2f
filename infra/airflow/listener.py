"""Stops the remote process of a task that somebody marks, also before a triggerer has taken up its trigger; and
withdraws what a run had asked for that is over.

A trigger's `on_kill` is called only once a triggerer runs the trigger: some seconds after the task deferred. Who
marks the task, or its run, in between would leave the process running until its lease ends. Airflow tells listeners of
such a change in the API server, at once; of a run's own end, and of its timeout, in the scheduler. The tasks of a run
that was marked are skipped, whatever their trigger rule: none of them could tidy up.
"""

from typing import Any

from airflow.listeners import hookimpl

from infra.airflow.runs import run_of
from infra.local import batch
from infra.local.batch import Submission, work_of
from lakehouse.replay.withdrawal import withdraw
from lakehouse.settings import load_settings


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:  # noqa: ARG001
    _stop(task_instance)


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:  # noqa: ARG001
    _stop(task_instance)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:  # noqa: ARG001
    withdraw(load_settings(), run_of(dag_run.dag_id, dag_run.run_id))


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001
    withdraw(load_settings(), run_of(dag_run.dag_id, dag_run.run_id))


def _stop(task: Any) -> None:
    work = work_of(task.dag_id, task.run_id, task.task_id, task.map_index)
    batch.stop_if_known(load_settings(), Submission(work, task.try_number))
