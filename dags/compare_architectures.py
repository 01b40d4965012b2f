"""Kappa against Lambda, measured on a stack of their own."""

from datetime import datetime

from airflow.sdk import DAG, Param

from infra.airflow.remote import RemoteProcessOperator

NUMBERS = {
    "rate": (300, "Events per second", "While events flow."),
    "seconds": (300, "Seconds", "How long events flow, for each architecture and repeat."),
    "cadence": (120, "Cadence", "Seconds from one batch run's begin to the next."),
    "history_days": (30, "Days of history", "What a correction makes anew."),
    "history_clicks": (10_000, "Clicks a day", "Of each day of history."),
    "repeats": (3, "Repeats", "Of what is measured while events flow; the report shows medians."),
}

with DAG(
    "compare_architectures",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["lambda"],
    params={
        name: Param(value, type="integer", minimum=1, title=title, description=text)
        for name, (value, title, text) in NUMBERS.items()
    },
    doc_md="""
### Kappa against Lambda

Runs both architectures one after the other on a stack of their own, whose ports and folder nobody else uses: the same
events, the same caps. Each must end equal to the reference, and the two to each other. The report, a page and JSON,
lies in `reports/architectures` in the installation's home: equality, freshness over time, CPU, memory, bytes, objects,
the time to correct history, code, and what it comes to at 25.7.1's scale. Give it the machine to itself: whatever runs
beside it is in the figures. It is the command `lakehouse lambda measure`.
""",
):
    RemoteProcessOperator(
        task_id="measure",
        module="cli",
        arguments=[
            "lambda",
            "measure",
            *(
                part
                for name in NUMBERS
                for part in (f"--{name.replace('_', '-')}", f"{{{{ params['{name}'] | string }}}}")
            ),
        ],
    )
