"""What is particular to replays in Airflow: who approves a plan, and where the diff is shown."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperatorLink

from infra.airflow.metadata import REPLAY
from infra.airflow.pages import PREFIX
from infra.airflow.remote import RemoteProcessOperator
from infra.airflow.runs import run_of
from lakehouse.replay.steps import MODULE, UNDO, Step
from lakehouse.settings import load_settings

RETRY_DELAY: Final = timedelta(seconds=10)


class PlanApproval(ApprovalOperator):
    """Shows a plan and waits for a person; a plan of few rows (settings) passes on its own. Keeps who approved."""

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "number")

    def __init__(self, *, number: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context: Any) -> Any:
        from lakehouse.replay import store

        settings = load_settings()
        rows = store.get(settings, int(self.number)).plan.affected_rows
        if rows <= settings.replay_unattended_rows:
            self.log.info("%d affected rows, at most %d pass", rows, settings.replay_unattended_rows)
            store.approve(settings, int(self.number), "by its size")
            return None
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        answer = super().execute_complete(context, event)
        if self.APPROVE in answer["chosen_options"]:
            from lakehouse.replay import store

            who = (answer.get("responded_by_user") or {}).get("name") or "Airflow"
            store.approve(load_settings(), int(self.number), who)
        return answer


class DiffLink(BaseOperatorLink):
    """Button of a replay's step to the report of what it changes."""

    @property
    def name(self) -> str:
        return "Diff"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  the step knows its replay
        settings = load_settings()
        return f"http://{settings.host}:{settings.airflow_port}{PREFIX}/replays/{operator.arguments[1]}.html"


class ReplayStep(RemoteProcessOperator):
    """Carries a step out in a process of its own, a heavy one in the pool of replays.

    One that was killed is tried once more: it begins where it ended."""

    operator_extra_links = (DiffLink(),)

    def __init__(self, *, step: Step, number: str, **kwargs: Any) -> None:
        if step.heavy:
            kwargs["pool"] = REPLAY.name
        super().__init__(
            task_id=step.name,
            doc_md=step.does,
            module=MODULE,
            arguments=[step.name, number],
            retries=1,
            retry_delay=RETRY_DELAY,
            **kwargs,
        )
        self.step = step

    def execute(self, context: Any) -> str:
        if self.step is UNDO:
            from lakehouse.replay.withdrawal import ask_undo

            # First: the end of this run takes back what is noted by then.
            ask_undo(load_settings(), int(self.arguments[1]), run_of(context["ti"].dag_id, context["ti"].run_id))
        return super().execute(context)
