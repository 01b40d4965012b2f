"""Silver transactions, fraud decisions and alerts, batch by batch on MinIO: whatever arrives when, and however often a
batch is repeated after whichever step, they are what the reference makes of all that came."""

import random
from collections.abc import Sequence

from jobs.rust_engines import alerts, fraud, transactions
from jobs.rust_engines.replacement import Replacement
from lakehouse.contracts.graph import sources
from lakehouse.contracts.tables import table
from lakehouse.delta import create_table, open_table
from lakehouse.delta.describe import commits, versions_read
from lakehouse.delta.notes import Asked, Batch
from lakehouse.semantics import Event, Events, Transaction
from lakehouse.semantics.log import assemble
from lakehouse.semantics.reference import METRICS
from lakehouse.semantics.windows import DAY, HOUR, MINUTE, utc_date
from lakehouse.settings import Settings
from tests.lake import expected, fill, frame, stored
from tests.strategies import MORNING, click, impression, moved, positioned, transaction

WRITTEN = (transactions.TABLE, fraud.TABLE, alerts.TABLE)


def payments(seed: int, count: int = 300) -> list[Transaction]:
    """Of few users around a midnight, some at the bounds of the rule's windows, some with another's time, in the
    disorder in which they arrive; a tenth of them twice."""
    draw = random.Random(seed)
    start = MORNING + DAY - 4 * HOUR
    offsets = [0, 10 * MINUTE, HOUR, 2 * HOUR]
    paid = []
    for _ in range(count):
        at = start + draw.choice([draw.randrange(8 * HOUR), draw.choice(offsets) + draw.randrange(-2, 3)])
        paid.append(transaction(draw.choice(["ana", "bo", "émile", "zoé"]), at, cents=draw.randrange(10_000)))
    paid += draw.sample(paid, count // 10)
    draw.shuffle(paid)
    return [event for event in positioned(paid) if isinstance(event, Transaction)]


def silver(settings: Settings, records: Sequence[Transaction]) -> tuple[int | None, int | None]:
    """The silver step of a batch; returns what was inserted and what was displaced."""
    of_batch = frame(transactions.TABLE, METRICS[transactions.TABLE].compute(Events.of(records))).drop("event_date")
    step = transactions.SilverTransactions(settings, Batch(job="test", batch_id=1))
    return step.insert(of_batch), step.displace(of_batch)


def refresh(settings: Settings, records: Sequence[Transaction], changed_by: str = "reference") -> None:
    version = int(open_table(settings, transactions.TABLE).version())
    touched = frame(transactions.TABLE, METRICS[transactions.TABLE].compute(Events.of(records)))
    note = Asked(scope=changed_by, read_versions={transactions.TABLE: version})
    fraud.Refresh(touched.select(fraud.TOUCHED), version, Replacement(settings, "fraud", note)).run()


def draw_alerts(settings: Settings) -> int | None:
    versions = {name: int(open_table(settings, name).version()) for name in sources(alerts.TABLE)}
    return alerts.Refresh(Replacement(settings, "alerts", Asked(scope="reference", read_versions=versions))).run()


def create(settings: Settings) -> None:
    for name in (*WRITTEN, *sources(alerts.TABLE)):
        create_table(settings, name)


def same(settings: Settings, name: str, events: Events) -> bool:
    columns = list(table(name).compared_columns)
    return stored(settings, name).select(columns).equals(expected(name, events).select(columns))


def test_batches_in_any_cut_and_repeated_after_any_step_equal_the_reference(lake: Settings, seed: int) -> None:
    draw = random.Random(seed)
    create(lake)
    paid = payments(seed)
    cuts = sorted(draw.sample(range(1, len(paid)), 5))
    for start, end in zip([0, *cuts], [*cuts, len(paid)], strict=True):
        batch = paid[start:end]
        for steps in (draw.randrange(3), 3):  # a driver that dies after so many steps, and the next one
            if steps:
                silver(lake, batch)
            if steps > 1:
                refresh(lake, batch)
            if steps > 2:
                draw_alerts(lake)
    events = assemble(paid).events
    assert len(events.transactions) < len(paid)
    for name in WRITTEN:
        assert same(lake, name, events), name
    verdicts = stored(lake, fraud.TABLE)
    assert verdicts["flagged"].any()
    assert verdicts["blocked"].any()


def test_a_batch_of_known_transactions_adds_nothing(lake: Settings) -> None:
    create(lake)
    paid = payments(1, 20)
    assert silver(lake, paid) == (1, None)
    assert silver(lake, paid) == (None, None)


def test_the_lowest_position_wins_whenever_it_comes(lake: Settings) -> None:
    create(lake)
    first = moved(transaction("ana", "10:00", event_id="t"), 7, partition=3)
    lower = moved(first, 9, partition=1)
    assert silver(lake, [first]) == (1, None)
    assert silver(lake, [moved(first, 8, partition=3)]) == (None, None)
    inserted, displaced = silver(lake, [lower])
    assert (inserted, displaced) == (None, 2)
    assert same(lake, transactions.TABLE, Events.of([lower]))
    correction, insert, _ = commits(open_table(lake, transactions.TABLE))
    assert insert.note == Batch(job="test", batch_id=1)
    assert correction.note == insert.note.correcting("lower_position", [utc_date(first.event_time)])


def test_only_what_a_batch_affects_is_said_to_be_changed_by_it(lake: Settings) -> None:
    create(lake)
    paid = [transaction("ana", clock, event_id=clock) for clock in ("07:59", "08:00", "10:00", "10:01", "11:59:59.999")]
    paid.append(transaction("bo", "10:00", event_id="another's"))
    silver(lake, paid)
    refresh(lake, paid, "first")
    late = [transaction("ana", "08:00", event_id="late")]
    silver(lake, late)
    refresh(lake, late, "second")
    changed = stored(lake, fraud.TABLE).filter(changed_by="second")["event_id"].to_list()
    # Two hours after it, no transaction is affected any more.
    assert changed == ["08:00", "late"]


def test_alerts_are_drawn_anew_on_the_days_that_changed(lake: Settings) -> None:
    create(lake)
    shown: list[Event] = [impression("ana", f"10:00:{second}") for second in range(20)]
    clicked: list[Event] = [click("bo", f"10:01:{second}") for second in range(11)]
    long: list[Event] = [click("bo", MORNING + DAY + n * 20 * MINUTE, None) for n in range(15)]
    before = Events.of([*shown, *clicked, *long])
    fill(lake, before, *sources(alerts.TABLE))
    assert draw_alerts(lake) == 1
    assert same(lake, alerts.TABLE, before)
    assert stored(lake, alerts.TABLE)["rule"].to_list() == ["anomalous_session", "ctr_anomaly"]
    assert draw_alerts(lake) is None

    after = Events.of([*shown, *clicked, *long, *(impression("ana", f"10:02:{second}") for second in range(5))])
    replaced = Replacement(lake, "test", Asked(scope="test"))
    windows = expected(alerts.WINDOWS, after)
    replaced.swap(alerts.WINDOWS, windows["event_date"].unique().to_list(), windows, lambda held: held.clear())
    since, until = versions_read(open_table(lake, alerts.TABLE)), int(open_table(lake, alerts.WINDOWS).version())
    days = alerts.changed_days(lake, alerts.WINDOWS, since[alerts.WINDOWS], until)
    assert days == set(windows["event_date"])
    assert draw_alerts(lake) == 2
    assert stored(lake, alerts.TABLE)["rule"].to_list() == ["anomalous_session"]
    assert alerts.changed_days(lake, alerts.SESSIONS, None, 1) == set(expected(alerts.SESSIONS, after)["event_date"])


def test_decisions_of_nothing_say_that_silver_was_read(lake: Settings) -> None:
    create(lake)
    silver(lake, payments(1, 5))
    refresh(lake, [])
    opened = open_table(lake, fraud.TABLE)
    assert (opened.version(), versions_read(opened)) == (1, {transactions.TABLE: 1})
    refresh(lake, [])
    assert open_table(lake, fraud.TABLE).version() == 1
    assert stored(lake, fraud.TABLE).is_empty()
