"""``lakehouse produce``: generated shop days and CSV files into Kafka."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.catalog import show_set_aside
from cli.input_file import input_file
from cli.output import console, styled, working
from cli.pairs import listed_pairs, meanings, pairs, whole_numbers
from lakehouse.catalog import publish_seeded
from lakehouse.csv_events import Ambiguous, CsvMapping, DecimalMark, Nonexistent, Quoting
from lakehouse.generator.traffic import ShopDay
from lakehouse.input_files import spoken
from lakehouse.kafka.feed import Fed
from lakehouse.produce import send_csv, send_day
from lakehouse.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True)
_DELIMITERS: Final = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_GENERATOR: Final = "Generated day"
_CSV: Final = "CSV file"


class Order(StrEnum):
    TIME = "time"
    FILE = "file"


_EXAMPLES: Final = """
Examples:

lakehouse produce --generator --clicks 100000 --purchases 1000 --transactions 1000 --seed 7

lakehouse produce --generator --rate 1000 --duration 300

lakehouse produce --generator --broken 0.001 --unsafe

lakehouse produce --csv visits.csv.gz --map user_id=visitor,event_time=at,page=url --set action=click --set region=de

lakehouse produce --csv orders.txt --topic shop.purchases --delimiter whitespace --time-format %Y%m%d
--map user_id=customer,event_time=date,quantity=items,amount_cents=value --scale amount_cents=100
--set product_id=cd --set currency=EUR --set region=us

A column whose name has a comma, cents of a decimal comma, local times that a clock showed twice:

lakehouse produce --csv orders.csv --topic shop.purchases --delimiter semicolon --decimal comma --scale amount_cents=100
--map 'user_id="Customer, ID",event_time=Time,amount_cents="Amount, EUR",product_id=#4' --time-format '%d.%m.%Y %H:%M'
--tz Europe/Berlin --ambiguous earlier --nonexistent forward --set quantity=1 --set currency=EUR --set region=de

A column of 0 and 1, and quotes that are none, from a pipe:

zcat views.tsv.gz | grep -v bot | lakehouse produce --csv - --delimiter tab --quoting none
--map user_id=who,event_time=at,page=url,action=clicked --values action:0=impression,1=click --set region=de
"""


@app.command(epilog=_EXAMPLES, no_args_is_help=True)
def produce(
    generator: Annotated[bool, typer.Option("--generator", help="Generate a shop day.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            parser=input_file,
            metavar="FILE",
            help="Read a CSV file, plain or gzip, or a pipe; - is standard input.",
        ),
    ] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Send invalid records too, instead of refusing them.")
    ] = False,
    judge: Annotated[
        bool, typer.Option("--validate/--no-validate", help="Judge each record by its contract before sending.")
    ] = True,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Records per second; without, at full speed.")] = None,
    day: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="UTC day of the events.", rich_help_panel=_GENERATOR)
    ] = datetime(2026, 3, 2),
    clicks: Annotated[
        int, typer.Option(min=0, help="Events of shop.clicks, impressions too.", rich_help_panel=_GENERATOR)
    ] = 1_000_000,
    purchases: Annotated[int, typer.Option(min=0, rich_help_panel=_GENERATOR)] = 10_000,
    transactions: Annotated[int, typer.Option(min=0, rich_help_panel=_GENERATOR)] = 10_000,
    duration: Annotated[
        float | None,
        typer.Option(
            min=1, help="Seconds at --rate; instead of how many events of each kind.", rich_help_panel=_GENERATOR
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed and day give the same bytes.", rich_help_panel=_GENERATOR)
    ] = 1,
    late: Annotated[float, typer.Option(help="Share some 3 to 5 min behind.", rich_help_panel=_GENERATOR)] = 0.02,
    very_late: Annotated[float, typer.Option(help="Share 10 min to 6 h behind.", rich_help_panel=_GENERATOR)] = 0.002,
    duplicates: Annotated[
        float, typer.Option(help="Share sent twice, of them one in ten hours later.", rich_help_panel=_GENERATOR)
    ] = 0.01,
    broken: Annotated[
        float, typer.Option(help="Share of invalid records, of every kind; see --unsafe.", rich_help_panel=_GENERATOR)
    ] = 0.0,
    hot: Annotated[
        float, typer.Option(help="Share of sessions of the ten busiest users.", rich_help_panel=_GENERATOR)
    ] = 0.02,
    span_hours: Annotated[
        float, typer.Option(help="Hours of the day that event times spread over.", rich_help_panel=_GENERATOR)
    ] = 24.0,
    catalogue: Annotated[
        bool,
        typer.Option(help="Also record products and profiles in PostgreSQL, and publish.", rich_help_panel=_GENERATOR),
    ] = True,
    topic: Annotated[str, typer.Option(help="Where the rows go.", rich_help_panel=_CSV)] = "shop.clicks",
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help='FIELD=COLUMN, several with commas, repeatable. A column is its name, in "quotes" if it has a comma, '
            "or its place, the first being #1.",
            rich_help_panel=_CSV,
        ),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE for every row; repeatable.", rich_help_panel=_CSV)
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD:VALUE=MEANING, several with commas, for what a column holds; others are refused.",
            rich_help_panel=_CSV,
        ),
    ] = None,
    scale: Annotated[
        list[str] | None, typer.Option(help="FIELD=FACTOR: 100 makes cents of decimals.", rich_help_panel=_CSV)
    ] = None,
    decimal: Annotated[DecimalMark, typer.Option(help="Of numbers.", rich_help_panel=_CSV)] = DecimalMark.POINT,
    delimiter: Annotated[str, typer.Option(help="A character, tab or whitespace.", rich_help_panel=_CSV)] = ",",
    quoting: Annotated[
        Quoting, typer.Option(help="With none, a quote is a character like others.", rich_help_panel=_CSV)
    ] = Quoting.STANDARD,
    time_format: Annotated[
        str,
        typer.Option(
            help="iso, epoch, epoch_ms or like %Y-%m-%d %H:%M; %z is an offset, %Z a name: UTC, GMT, or one of --tz.",
            rich_help_panel=_CSV,
        ),
    ] = "iso",
    tz: Annotated[
        str, typer.Option(help="Time zone of times that name none, like Europe/Berlin.", rich_help_panel=_CSV)
    ] = "UTC",
    ambiguous: Annotated[
        Ambiguous,
        typer.Option(help="Which of the two times that a clock showed as it was put back.", rich_help_panel=_CSV),
    ] = Ambiguous.REFUSE,
    nonexistent: Annotated[
        Nonexistent,
        typer.Option(
            help="A time that no clock showed, as it was put forward: forward takes it for one as much later.",
            rich_help_panel=_CSV,
        ),
    ] = Nonexistent.REFUSE,
    header: Annotated[bool, typer.Option(help="Without one, columns are 1, 2, 3.", rich_help_panel=_CSV)] = True,
    order: Annotated[Order, typer.Option(help="By event time, or as the file is.", rich_help_panel=_CSV)] = Order.TIME,
    shift_days: Annotated[int, typer.Option(help="Days to move all times by.", rich_help_panel=_CSV)] = 0,
) -> None:
    """Send events to Kafka: a generated shop day or anybody's CSV file.

    Records that break their contract are refused with the reason and the rest goes on; the exit status is 1 then.
    Sending the same again is safe: the events are the same and count as duplicates.
    """
    if generator == bool(csv):
        raise typer.BadParameter("say either --generator or --csv FILE")
    settings = load_settings()
    send = partial(_report, judged=judge, unsafe=unsafe, rate=rate)
    if csv:
        with _complaints():
            mapping = CsvMapping(
                topic=topic,
                columns=listed_pairs("--map", mapped or ()),
                constants=pairs("--set", constants or ()),
                values=meanings("--values", values or ()),
                delimiter=_DELIMITERS.get(delimiter, delimiter),
                quoting=quoting,
                time_format=time_format,
                tz=tz,
                ambiguous=ambiguous,
                nonexistent=nonexistent,
                scale=whole_numbers("--scale", scale or ()),
                decimal=decimal,
                header=header,
                by_time=order is Order.TIME,
                shift_days=shift_days,
            )
        send(spoken(csv), None, partial(send_csv, settings, csv, mapping))
        return
    if duration:
        if not rate:
            raise typer.BadParameter("--duration needs --rate")
        purchases = transactions = round(rate * duration / 102)
        clicks = round(rate * duration) - purchases - transactions
    if broken and not judge and not unsafe:
        raise typer.BadParameter("broken records are sent with --unsafe only; without it, leave out --no-validate")
    with _complaints():
        shop_day = ShopDay(
            day.date(), clicks, purchases, seed, late, very_late, duplicates, broken, hot, span_hours, transactions
        )
    if catalogue:
        _publish_catalogue(settings, shop_day)
    expected = round((clicks + purchases + transactions) * (1 + duplicates + broken))
    send(str(shop_day.day), expected, partial(send_day, settings, shop_day))


@contextmanager
def _complaints() -> Iterator[None]:
    """What the library says of a wrong parameter, as a usage error."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _publish_catalogue(settings: Settings, day: ShopDay) -> None:
    with working("recording the catalogue"):
        published = publish_seeded(settings, day.seed, day.day)
    console.print(f"Catalogue: {published.products:,} product and {published.profiles:,} profile versions published")
    show_set_aside(published)


def _report(
    title: str, expected: int | None, send: Callable[..., Fed], *, judged: bool, unsafe: bool, rate: float | None
) -> None:
    """Call `send` under a progress bar, print what came of it; exit status 1 if it refused a record."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=expected)
        fed = send(judged=judged, unsafe=unsafe, rate=rate, on_progress=lambda records: progress.advance(task, records))
    for name, count in sorted(fed.sent.items()):
        console.print(styled(("✓", "green"), f" {name}: {count:,} records"))
    console.print(
        f"{fed.sent.total():,} records, {fed.value_bytes / 1e6:,.1f} MB, "
        f"in {fed.seconds:.1f} s: {fed.records_per_second:,.0f} records/s"
    )
    if not fed.refused:
        return
    console.print(styled(("✗", "red"), f" {fed.refused.total():,} records refused:"))
    for refusal in fed.refusals:
        console.print(f"  {refusal}")
    if fed.refused.total() > len(fed.refusals):
        console.print("  ... " + ", ".join(f"{reason} {count:,}" for reason, count in fed.refused.most_common()))
    console.print("To see how they are set aside as dead letters, send them with --unsafe.")
    raise typer.Exit(1)
