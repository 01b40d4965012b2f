"""Airflow tasks that run work outside Airflow and wait for it, deferred.

The work is a process of the local supervisor (`infra.local.batch`). It is stopped for real when somebody marks
the task failed, clears it or fails its run: by the operator's `on_kill` while the task runs, by the trigger's
while it is deferred. Never in `cleanup`, which also runs when a triggerer merely restarts.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import sleep
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from infra.local import batch
from infra.local.batch import Outcome, Submission, work_of
from lakehouse.settings import load_settings


class RemoteProcessTrigger(BaseTrigger):
    """Waits until a submission has ended.

    `run` may go on for a moment after a triggerer's restart while `on_kill` of the same trigger is under way:
    both only look at or end the one submission, so their order doesn't matter.
    """

    def __init__(self, work: str, try_number: int, poll_seconds: float) -> None:
        super().__init__()
        self.work, self.try_number, self.poll_seconds = work, try_number, poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"work": self.work, "try_number": self.try_number, "poll_seconds": self.poll_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settings, submission = load_settings(), Submission(self.work, self.try_number)
        while (outcome := await asyncio.to_thread(batch.outcome, settings, submission)) is Outcome.RUNNING:
            await asyncio.sleep(self.poll_seconds)
        yield TriggerEvent({"outcome": outcome.value})

    async def on_kill(self) -> None:
        await asyncio.to_thread(batch.stop, load_settings(), Submission(self.work, self.try_number))


class RemoteProcessOperator(BaseOperator):
    """Runs ``python -m module arguments`` under the supervisor until it ends.

    Each try is a submission of its own: a retry or a cleared task ends what older tries left running. With
    `deferrable` false it occupies a worker slot while it waits.
    """

    template_fields: Sequence[str] = ("arguments",)

    def __init__(
        self,
        *,
        module: str,
        arguments: Sequence[str] = (),
        deferrable: bool = True,
        poll_seconds: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module, self.arguments = module, list(arguments)
        self.deferrable, self.poll_seconds = deferrable, poll_seconds
        self._submission: Submission | None = None
        self._submitting = self._killed = False

    def execute(self, context: Any) -> str:
        settings = load_settings()
        self._submission = submission = _submission(context)
        self._submitting = True
        batch.submit(settings, submission, self.module, tuple(self.arguments))
        self._submitting = False
        self.log.info(
            "%s runs as %s; its log: %s", self.module, submission.program, batch.log_file(settings, submission)
        )
        if self._killed:
            self.on_kill()
        if self.deferrable and not self._killed:
            trigger = RemoteProcessTrigger(submission.work, submission.try_number, self.poll_seconds)
            self.defer(trigger=trigger, method_name=self.resume.__name__)
        # After on_kill Airflow lets execute() go on: the submission is gone then, which ends the loop.
        while (outcome := batch.outcome(settings, submission)) is Outcome.RUNNING:
            sleep(self.poll_seconds)
        return self._finish(submission, outcome)

    def resume(self, context: Any, event: dict[str, Any]) -> str:
        return self._finish(_submission(context), Outcome(event["outcome"]))

    def on_kill(self) -> None:
        """Called in a signal handler, amid whatever `execute` does.

        While it submits, it holds the work's lock, for which a stop would wait for ever: it stops afterwards.
        """
        self._killed = True
        if self._submission is not None and not self._submitting:
            batch.stop(load_settings(), self._submission)

    def _finish(self, submission: Submission, outcome: Outcome) -> str:
        if outcome is not Outcome.SUCCEEDED:
            log = batch.log_file(load_settings(), submission)
            raise AirflowException(f"{self.module} {outcome}: see {log}")
        return submission.program


def _submission(context: Any) -> Submission:
    task = context["ti"]
    return Submission(work_of(task.dag_id, task.run_id, task.task_id, task.map_index), task.try_number)
