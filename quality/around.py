"""Expectations that no row of a table shows: it is fed in time, with as much as usual, and parity finds it right."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Final

from lakehouse import dead_letters
from lakehouse.contracts.columns import TableContract
from lakehouse.contracts.events import EVENTS
from lakehouse.contracts.jobs import JOBS
from lakehouse.contracts.tables import DEAD_LETTERS
from lakehouse.delta import open_table
from lakehouse.delta.days import rows_by_day
from lakehouse.drained import consumers
from lakehouse.drained.waiting import owed, patience
from lakehouse.explain.keys import day_of
from lakehouse.kafka.consumer import ReadError
from lakehouse.parity.check import SAMPLED
from lakehouse.parity.sample import still_different
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from quality.rules import Observed, Severity

VOLUME_DAYS: Final = 7
"""A day's rows are held against the median of so many days before it, those that have any."""
VOLUME_DAYS_NEEDED: Final = 3
VOLUME_FACTOR: Final = 2
_EVENT_TABLES: Final = {f"silver.{event.table}" for event in EVENTS.values() if not event.changelog}


@dataclass(frozen=True, slots=True)
class Around:
    """Observes tables as they are, or as they were at the time `as_of`: then only what their files still tell.

    Neither a late record nor an unusual day makes rows wrong, so freshness and volume warn; a row that the reference
    makes differently is wrong.
    """

    settings: Settings
    as_of: datetime | None = None
    _freshness: dict[str, Observed] = field(default_factory=dict)
    """By job: tables share their owner."""

    def observe(self, contract: TableContract, version: int, day: date | None) -> list[Observed]:
        """What there is to expect of the table, at `version` and, of its rows, of `day` if given.

        How fresh a table is says nothing of a day alone, and is left out there.
        """
        found = list(self._volume(contract, version, day))
        if self.as_of is None and day is None:
            found += self._fresh(contract)
            found += self._letters(contract)
        if self.as_of is None and contract.name in SAMPLED:
            found.append(self._parity(contract, day))
        return found

    def _fresh(self, contract: TableContract) -> Iterator[Observed]:
        job = JOBS.get(contract.owner)
        if job is None or job.name not in consumers():
            return
        if job.name not in self._freshness:
            allowed = patience(self.settings, job)
            says = f"no record has waited for {job.name} for more than {allowed} s"
            violations: list[dict[str, object]] = []
            try:
                lag, waited = owed(self.settings, job.name)
            except (ServiceDownError, ReadError) as error:
                violations.append({"not known": str(error)})
            else:
                if waited > allowed:
                    violations.append({"seconds waited": round(waited), "records owed": lag})
            self._freshness[job.name] = Observed(says, Severity.WARNING, violations)
        yield self._freshness[job.name]

    def _letters(self, contract: TableContract) -> Iterator[Observed]:
        if contract.name != DEAD_LETTERS:
            return
        try:
            jumped = dead_letters.jumps(self.settings)
        except (ServiceDownError, ReadError) as error:
            yield Observed("the share of dead letters is known", Severity.WARNING, [{"not known": str(error)}])
            return
        for topic in EVENTS:
            says = f"no more of the records of {topic} become dead letters than before"
            yield Observed(says, Severity.CRITICAL, [{"seen": str(jump)} for jump in jumped if jump.topic == topic])

    def _volume(self, contract: TableContract, version: int, day: date | None) -> Iterator[Observed]:
        if contract.name not in _EVENT_TABLES:
            return
        today = (self.as_of or datetime.now(UTC)).astimezone(UTC).date()
        counted = day or today - timedelta(days=1)
        if counted < today:
            opened = open_table(self.settings, contract.name, version)
            found = volume(rows_by_day(self.settings, contract.name, opened), counted)
            if found is not None:
                yield found

    def _parity(self, contract: TableContract, day: date | None) -> Observed:
        """Rows that parity has found different are looked at again: a replay may have set them right since."""
        wrong = [
            {"row": found.row, "columns": ", ".join(found.columns)}
            for found in still_different(self.settings, contract.name)
            if day is None or day_of(contract, found.key) in (day, None)
        ]
        return Observed("no row that parity found different in 24 h still differs", Severity.CRITICAL, wrong)


def volume(rows: Mapping[date, int], day: date) -> Observed | None:
    """Whether `day` has about as many rows as usual; None where too few days before it have any to tell.

    A day that differs by its weekday or season may warn: the numbers are in the violation.
    """
    before = [rows.get(day - timedelta(days=back), 0) for back in range(1, VOLUME_DAYS + 1)]
    known = [count for count in before if count]
    if len(known) < VOLUME_DAYS_NEEDED:
        return None
    usual, seen = median(known), rows.get(day, 0)
    says = f"a day has between 1/{VOLUME_FACTOR} and {VOLUME_FACTOR} times the rows of the {VOLUME_DAYS} days before"
    as_usual = usual / VOLUME_FACTOR <= seen <= usual * VOLUME_FACTOR
    return Observed(says, Severity.WARNING, [] if as_usual else [{"day": day, "rows": seen, "usual": usual}])
