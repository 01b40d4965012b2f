"""Recomputes what the events of a time touched: plan, approval, recomputation beside, diff, swap."""

from datetime import datetime

from airflow.sdk import DAG, Param, TriggerRule, chain, task

from dags.assets import table_asset, topic_asset
from infra.airflow.replay import PlanApproval, ReplayStep
from infra.airflow.runs import run_of
from lakehouse.replay.request import TARGETS, TOPICS, USUAL, Clock, Engine
from lakehouse.replay.steps import STEPS, UNDO

NUMBER = "{{ ti.xcom_pull(task_ids='plan')['replay'] }}"

with DAG(
    "replay",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=4,
    is_paused_upon_creation=False,
    tags=["control"],
    params={
        "from": Param(
            "2026-01-01T00:00:00Z", type="string", format="date-time", title="From", description="First time, included."
        ),
        "to": Param(
            "2026-01-01T01:00:00Z",
            type="string",
            format="date-time",
            title="To",
            description="Where it ends, not included.",
        ),
        "clock": Param(
            "event",
            type="string",
            enum=list(Clock),
            title="Clock",
            description="By when events happened, or by when they arrived in Kafka.",
        ),
        "topics": Param(
            list(TOPICS),
            type="array",
            items={"type": "string", "enum": list(TOPICS)},
            title="Topics",
            description="Whose events.",
        ),
        "targets": Param(
            [],
            type="array",
            items={"type": "string", "enum": list(TARGETS)},
            title="Tables",
            description="Which tables to set right; without any, all affected ones that the engine can.",
        ),
        "engine": Param(
            str(USUAL),
            type="string",
            enum=list(Engine),
            title="Engine",
            description="Who recomputes: DataFusion all tables; Polars marts; Spark, with the Spark driver, all but "
            "marts.",
        ),
    },
    doc_md="""
### Replay

Recomputes the rows that the events of a time range affect, from all their events, and swaps them in.

1. **plan** finds out what is touched: offsets, events, rows, files, minutes; refused if it makes no sense.
2. **approve** shows the plan and waits for *Approve* or *Reject* (Required Actions). Plans of at most
   `LAKEHOUSE_REPLAY_UNATTENDED_ROWS` rows pass on their own.
3. **recompute** computes the affected days into staging tables: from bronze, marts from the tables that they are made
   of. It runs in the pool `replay`, on few cores, and pauses while live streams fall behind.
4. **diff** compares them with what is there: the button *Diff* shows the report.
5. **swap** hands them to the tables' owner, which puts them in place in one commit per table and refreshes what arrived
   since. It waits where the owner is stopped. An owner that runs other code than the installed one, as the plan then
   says, goes on with this. Marts are published by day, as `backfill_marts` does.
6. **record** notes it in `ops.replays`.

Marking a task failed, or the run, stops the work for real and leaves the tables as they were: what the run had asked
for is withdrawn, however it ends, unless the owner has begun to swap it in. To take a replay back that was swapped in,
trigger `replay_undo` with its number (the plan's return value).
""",
):

    @task(inlets=[topic_asset(name) for name in TOPICS])
    def plan(params: dict, dag_run=None) -> dict:
        from datetime import UTC

        from infra.airflow.runs import goes_on
        from jobs.batch.replay.ended import withdraw_ended
        from lakehouse.replay import store
        from lakehouse.replay.request import Request
        from lakehouse.replay.words import describe
        from lakehouse.settings import load_settings

        # What this run planned before somebody cleared it is as little wanted as what other runs have left open.
        settings, run = load_settings(), run_of(dag_run.dag_id, dag_run.run_id)
        withdraw_ended(settings, lambda other: other != run and goes_on(other))
        start, end = (datetime.fromisoformat(params[name]) for name in ("from", "to"))
        asked = (params[name] for name in ("clock", "topics", "targets", "engine"))
        request = Request.checked(start, end, datetime.now(UTC), *asked)
        replay = store.plan_replay(settings, request, dag_run.triggering_user_name or "airflow", run)
        return {"replay": replay.id, "rows": replay.plan.affected_rows, "plan": describe(replay)}

    approve = PlanApproval(
        task_id="approve",
        subject=f"Swap in replay {NUMBER}?",
        body="{{ ti.xcom_pull(task_ids='plan')['plan'] }}",
        number=NUMBER,
    )
    steps = [ReplayStep(step=step, number=NUMBER) for step in STEPS]
    steps[-1].outlets = [table_asset("ops.replays")]

    @task(
        trigger_rule=TriggerRule.ALL_DONE, doc_md="Ends a replay that was rejected, failed or stopped before its swap."
    )
    def close(dag_run=None) -> list[str]:
        from jobs.batch.replay.ended import withdraw_ended
        from lakehouse.settings import load_settings

        run = run_of(dag_run.dag_id, dag_run.run_id)
        return withdraw_ended(load_settings(), lambda other: other != run)

    chain(plan(), approve, *steps)
    steps[-1] >> close()

with DAG(
    "replay_undo",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["control"],
    params={
        "replay": Param(
            1,
            type="integer",
            minimum=1,
            title="Replay",
            description="Its number, from the plan of the run that made it.",
        )
    },
    doc_md="""
### Undo a replay

Brings back the rows that a replay replaced, as they were before it, and the code of their owner if the swap had changed
it; what has arrived since is refreshed into them.
Refused where the versions before are no longer kept (7 days), and where a later replay has written the same rows.
""",
):
    ReplayStep(step=UNDO, number="{{ params['replay'] }}", inlets=[table_asset("ops.replays")])
