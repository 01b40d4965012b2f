"""The executor of the local Airflow."""

from airflow.executors.local_executor import LocalExecutor


class PreloadedLocalExecutor(LocalExecutor):
    """Its tasks are forked from workers that have imported what takes seconds: Airflow's task runner and, for gates,
    Great Expectations. Both start no thread that a fork would lose."""

    def start(self) -> None:
        import airflow.sdk.execution_time.task_runner  # noqa: F401
        import great_expectations  # noqa: F401

        super().start()
