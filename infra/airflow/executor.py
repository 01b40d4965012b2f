"""The executor of the local Airflow."""

from airflow.executors.local_executor import LocalExecutor


class PreloadedLocalExecutor(LocalExecutor):
    """Its tasks are forked from workers that have imported what takes seconds: Airflow's task runner and, for gates,
    Great Expectations. Both start no thread that a fork would lose."""

    def start(self) -> None:
        import airflow.sdk.execution_time.task_runner  # noqa: F401
        import great_expectations  # noqa: F401

        super().start()

    def heartbeat(self) -> None:
        # A task that is resumed is queued under the key under which it was deferred. Its first exit must be read first:
        # read afterwards, it takes the key from the running ones, and the scheduler, which then finds a queued task
        # that nobody has, fails it (apache-airflow 3.3.2).
        self.sync()
        super().heartbeat()
