"""``lakehouse rejudge``: records that another rule of validity let in or kept out, judged by today's."""

import getpass
import json
from typing import Annotated, Final

import typer
from rich.table import Table

from cli.output import console, errors, print_table, working
from lakehouse.contracts.core import CORE, Core
from lakehouse.contracts.events import CLICKS, PURCHASES
from lakehouse.contracts.graph import STREAM
from lakehouse.contracts.jobs import JOBS
from lakehouse.drained.positions import LIVE_DASHBOARD
from lakehouse.live_generations import delete_superseded
from lakehouse.rejudge import trail
from lakehouse.rejudge.judged import TOPICS, Census, take_census
from lakehouse.runtime import reconcile
from lakehouse.runtime.wanted import Wanted, wanted_state
from lakehouse.settings import Settings, load_settings

app = typer.Typer()
_LIVE_SECONDS: Final = 600
_MARK: Final = "rejudge, called by "


@app.command(
    epilog="Examples: lakehouse rejudge | lakehouse rejudge --topic shop.purchases --json | lakehouse rejudge --apply"
)
def rejudge(
    topic: Annotated[
        list[str] | None, typer.Option(help=f"Once per topic: {', '.join(TOPICS)}; all without one.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Move them, and make anew what follows from them.")] = False,
    live: Annotated[
        bool,
        typer.Option(
            help="With --apply: let live_dashboard count anew what Kafka still has; values of what it has not are gone."
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Judge every record of bronze and of the dead letters by today's rule, and count those that lie in the wrong one.

    Nothing is changed without --apply. With it, the records move, and silver, gold, marts and live values are made anew
    where they are affected; the Spark driver stops meanwhile, between two batches, and the follower does it as it runs.
    Killed, it does the rest when it is called again.
    """
    for name in topic or ():
        if name not in TOPICS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(TOPICS)}", param_hint="--topic")
    settings = load_settings()
    with working("judging", errors) as say:
        census = take_census(settings, topic or TOPICS, say)
    if apply and (census.total or trail.unfinished(settings)):
        _apply(settings, census, live, as_json)
        return
    if as_json:
        typer.echo(json.dumps(census.to_dict()))
        return
    _show(census)
    if census.total:
        console.print("Move them, and make anew what follows: lakehouse rejudge --apply")


def _apply(settings: Settings, census: Census, live: bool, as_json: bool) -> None:
    from jobs.batch.rejudge import rejudge as judge_anew

    by = getpass.getuser()
    stream, dashboard = JOBS[STREAM], JOBS[LIVE_DASHBOARD]
    with working("moving", errors) as say:
        if CORE is Core.SPARK and reconcile.view(settings, stream).wanted.wanted is Wanted.RUNNING:
            say(f"waiting for {stream.name} to end its batch")
            reconcile.finish(settings, stream, f"{_MARK}{by}")
        try:
            outcome = judge_anew(settings, by, census, say)
        finally:
            # Who stopped it stands with the wish: so a call that goes on for one that was killed starts it too.
            if wanted_state(settings, stream.name).changed_by.startswith(_MARK):
                say(f"starting {stream.name}")
                reconcile.start(settings, stream, by)
        counted_live = {CLICKS.topic, PURCHASES.topic} & set(outcome.events)
        if live and counted_live and wanted_state(settings, dashboard.name).wanted is Wanted.RUNNING:
            say("live_dashboard begins anew")
            reconcile.begin_anew(settings, dashboard, by)
            say("waiting until the live values are those of the new state")
            delete_superseded(settings, _LIVE_SECONDS)
        trail.finish(settings, outcome.runs, by)
    if as_json:
        days = {mart: [day.isoformat() for day in of_mart] for mart, of_mart in outcome.days.items()}
        typer.echo(json.dumps(outcome.moved.to_dict() | {"events": dict(outcome.events), "marts": days}))
        return
    if outcome.moved.total:
        _show(outcome.moved)
    for name, events in outcome.events.items():
        console.print(f"{name}: {events:,} events came or went, and what they affect is made anew")
    for mart, of_mart in outcome.days.items():
        console.print(f"{mart}: {len(of_mart):,} days published anew")
    if outcome.events:
        console.print("Written down in ops.rejudged. See that all is equal: lakehouse compare")


def _show(census: Census) -> None:
    if not census.total:
        console.print(f"All of {census.looked_at:,} records lie where today's rule puts them")
        return
    shown = Table(box=None, pad_edge=False)
    for name in ("topic", "arrived", "was", "is"):
        shown.add_column(name)
    shown.add_column("records", justify="right")
    for (name, day, before, now), records in sorted(census.misjudged.items(), key=str):
        shown.add_row(name, day.isoformat(), str(before), str(now), f"{records:,}")
    print_table(shown)
    console.print(f"{census.total:,} of {census.looked_at:,} records are judged otherwise than they lay")
