"""``lakehouse demo``: the whole lakehouse on real and generated events, checked, with a report."""

import secrets
import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from cli.demo.report import build_result, links
from cli.demo.run import Demo
from cli.output import console, styled
from lakehouse.report import DemoResult, write_report
from lakehouse.report.write import failures
from lakehouse.settings import ROOT

app = typer.Typer()

_REPORT: Final = ROOT / "reports" / "demo"


@app.command(epilog="Examples: lakehouse demo | lakehouse demo --clicks 100000 --seed 7")
def demo(
    clicks: Annotated[
        int, typer.Option(min=1_000, envvar="DEMO_CLICKS", help="Clicks of the first generated day; later: a tenth.")
    ] = 1_000_000,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the generated day; drawn and printed without one.")
    ] = None,
) -> None:
    """Start what is not running, feed it events, let the DAGs work, and check every result.

    The first run sends a real click-stream and a generated day, later runs the next day. An interrupted run is
    resumed: what it sends again counts as duplicates. Exit status 0 only if every check held. The stack stays up.
    """
    began = datetime.now(UTC)
    run = Demo(clicks, secrets.randbelow(2**31) if seed is None else seed)
    comparison, audit = run.run()
    result = build_result(run, comparison, audit, began)
    page = write_report(result, _REPORT)
    if result.ok:
        run.mark_verified()
    _tell(result)
    console.print(f"\nReport: {page}")
    for link in links(run.settings):
        console.print(f"{link.title}: {link.url}" + (f" ({link.note})" if link.note else ""))
    console.print("The stack stays up. Look around with bin/lakehouse --help; stop it with: bin/lakehouse down")
    if not result.ok:
        sys.exit(1)


def _tell(result: DemoResult) -> None:
    failed = failures(result)
    for text in failed:
        console.print(styled(("✗", "red"), f" {text}"))
    memory = sum(result.peak_memory_bytes.values()) / 2**30
    verdict = ("Every check held", "green") if result.ok else (f"{len(failed)} checks failed", "red")
    said = (
        f": {sum(t.rows_compared for t in result.tables):,} rows equal to the reference, "
        f"{result.ledger.verdict if result.ledger else 'no ledger'}, in {result.seconds:.0f} s, "
        f"seed {result.seed}, peak memory {memory:.1f} GiB"
    )
    console.print(styled(verdict, said))
