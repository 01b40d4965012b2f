"""The executor of the local Airflow."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState

if TYPE_CHECKING:
    from airflow.executors.workloads import ExecutorWorkload
    from airflow.executors.workloads.types import WorkloadKey, WorkloadState
    from airflow.models.taskinstance import TaskInstance


class PreloadedLocalExecutor(LocalExecutor):
    """Its tasks are forked from workers that have imported what takes seconds: Airflow's task runner and, for gates,
    Great Expectations. Both start no thread that a fork would lose."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: Counter[WorkloadKey] = Counter()
        """How often a workload was handed to a worker that has not reported its exit."""

    def start(self) -> None:
        import airflow.sdk.execution_time.task_runner  # noqa: F401
        import great_expectations  # noqa: F401

        super().start()

    def has_task(self, task_instance: "TaskInstance") -> bool:
        # A task that is resumed is queued under the key under which it was deferred, and LocalExecutor forgets it as
        # soon as a worker may take it. If the exit that deferred it is read only then, the scheduler finds a queued
        # task that no executor has, and fails it (apache-airflow 3.3.2).
        return super().has_task(task_instance) or self._begun[task_instance.key] > 0

    def _process_workloads(self, workload_list: Sequence["ExecutorWorkload"]) -> None:
        super()._process_workloads(workload_list)
        self._begun.update(workload.key for workload in workload_list)

    def change_state(
        self, key: "WorkloadKey", state: "WorkloadState", info: object = None, remove_running: bool = True
    ) -> None:
        super().change_state(key, state, info, remove_running)
        if state in (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED):
            self._begun -= Counter([key])
