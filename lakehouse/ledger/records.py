"""One topic's records from Kafka into bronze and silver: sums by range of offsets, and a closer look where they differ.

Each step is judged by Kafka's truth, not by the step before: what was found wrong in bronze is put right in memory
before silver is looked at. A position that is wrong in bronze is not told again of silver, which may have been computed
before or after: so a difference is named where it happened and only there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

import polars as pl

from lakehouse.contracts.arrow import polars_schema
from lakehouse.contracts.events import Kind as FieldKind
from lakehouse.contracts.identity import record_hash
from lakehouse.contracts.tables import DEAD_LETTERS, table
from lakehouse.contracts.validation import Valid, validate
from lakehouse.delta import VersionMissingError
from lakehouse.ledger.differences import differences
from lakehouse.ledger.findings import LOG_SHIFT, OFFSET_BITS, Book, Kind, Sum
from lakehouse.ledger.logs import Log
from lakehouse.ledger.ranges import Range, read_records, unread
from lakehouse.ledger.routes import Route
from lakehouse.ledger.tables import POSITION, Tables
from lakehouse.settings import Settings

LOOKED_AT: Final = 20
"""So many ranges of a topic are read again at most to see what is wrong: a million records, which memory holds."""
_HASH: Final = pl.col("record_hash")
_UNREAD: Final = -(1 << 31)
"""Stands for the range of what no audit has read: less than that of any predecessor."""
_POSITIONS: Final = {"position": pl.Int64(), "record_hash": pl.Int64()}


def losers(bronze: pl.DataFrame, changelog: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The positions that silver leaves out: duplicates, and of a changelog the versions that a later one with the
    same `valid_from` supersedes.

    `bronze`: position, identity and, of a changelog, rival. Of an event the lowest position stays; of rival versions
    among these the highest.
    """
    # Of copies at the same offset of a topic and its predecessor the older one, whose log has the higher number.
    log = pl.col("position") % (1 << OFFSET_BITS) // (1 << LOG_SHIFT)
    ordered = bronze.sort(pl.col("position") - log * (1 << LOG_SHIFT), -log)
    first = pl.col("identity").is_first_distinct()
    duplicates, once = ordered.filter(~first), ordered.filter(first)
    if not changelog:
        return duplicates, once.clear()
    return duplicates, once.filter(~pl.col("rival").is_last_distinct())


@dataclass(slots=True)
class Trail:
    """Follows the records of one topic. `logs`: what Kafka holds, and what it has held under the topic's name before,
    oldest first: what a table has beyond the audited end of the last one came later.
    """

    settings: Settings
    tables: Tables
    route: Route
    logs: Sequence[Log]
    book: Book

    def follow(self, altered: Mapping[str, Iterable[int]]) -> None:
        """Into bronze and on into silver. `altered`: positions by table that a look at the contents found."""
        route = self.route
        followed, truths = [], []
        for log in self.logs:
            bronze = self._select(log, route.bronze, self._digests())
            dead = self._select(log, DEAD_LETTERS, ())
            truth = self._audit_bronze(log, bronze, dead, altered if log.number == 0 else {})
            if truth is not None:
                truths.append(truth)
                bronze = pl.concat([bronze.join(truth.wrong, on="position", how="anti"), truth.rows], how="diagonal")
            followed.append(_followed(log, bronze))
        if route.silver is not None:
            self._audit_silver(route.silver, pl.concat(followed, how="diagonal"), _Truth.all(truths))

    # Bronze

    def _select(self, log: Log, name: str, columns: Iterable[pl.Expr]) -> pl.DataFrame:
        """Numbers in place of text, so that millions fit: 64 bits of an event's identity, and of its payload."""
        rows = self.tables.scan(name).filter(topic=self.route.topic)
        return log.of(rows).select(log.position, _HASH, *columns).collect(engine="streaming")

    def _digests(self) -> list[pl.Expr]:
        route = self.route
        digests = {"identity": route.identity, "payload": route.payload}
        if route.event.changelog:
            digests["rival"] = (route.event.key, "valid_from")
        return [pl.struct(columns).hash().alias(name) for name, columns in digests.items()]

    def _strays(self, log: Log, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows at positions that the topic never had; where a predecessor's log ended, nobody knows."""
        if log.number:
            return rows.clear()
        partition, offset = pl.col("position") // (1 << OFFSET_BITS), pl.col("position") % (1 << OFFSET_BITS)
        known = [(partition == p) & (offset < end) for p, end in log.log_ends.items()]
        return rows.filter(~reduce(or_, known, pl.lit(False)))

    def _sums(self, layer: str, name: str | None, rows: pl.DataFrame) -> None:
        """Of the records of the topic as it is, by partition."""
        log = self.logs[-1]
        version = self.tables.version(name) if name else None
        partition = pl.col("position") // (1 << OFFSET_BITS)
        of_topic = rows.filter(pl.col("range") >= 0)
        sums = of_topic.group_by(partition.alias("partition")).agg(pl.len(), _HASH.cast(pl.Int128).sum())
        by_partition = {p: (records, hash_sum) for p, records, hash_sum in sums.iter_rows()}
        for p in sorted(log.ends):
            covered = [r for r in log.ranges if r.partition == p]
            if covered:
                records, hash_sum = by_partition.get(p, (0, 0))
                first, end = covered[0].first, covered[-1].end
                self.book.sums.append(Sum(layer, name, version, records, hash_sum, self.route.topic, p, first, end))

    def _audit_bronze(
        self, log: Log, bronze: pl.DataFrame, dead: pl.DataFrame, altered: Mapping[str, Iterable[int]]
    ) -> "_Truth | None":
        route, names = self.route, {self.route.bronze: bronze, DEAD_LETTERS: dead}
        everything = pl.concat([bronze.select("position", "record_hash"), dead])
        inside = _in_ranges(log, everything)
        held = {
            index: (records, hash_sum)
            for index, records, hash_sum in inside.group_by("range")
            .agg(pl.len(), _HASH.cast(pl.Int128).sum())
            .iter_rows()
        }
        gone = log.known_lost(table(route.bronze).owner)
        # Some of it may have been written before the job could note that it had read it.
        self.book.lost_before[route.topic] += len(gone.filter(~gone.is_in(everything["position"].implode())))
        wrong = {i for i, r in enumerate(log.ranges) if held.get(i, (0, 0)) != (r.records, r.hash_sum)}
        for name, positions in altered.items():
            found = _in_ranges(log, pl.DataFrame({"position": pl.Series(list(positions), dtype=pl.Int64)}))
            wrong |= set(found["range"])
            self.book.found(Kind.ALTERED, name, route.topic, found["position"], "not what its value says")
        if not log.number:
            for name, rows in names.items():
                layer = "dead_letters" if name == DEAD_LETTERS else "bronze"
                self._sums(layer, name, _followed(log, rows))
        strays = {name: self._strays(log, rows)["position"].unique() for name, rows in names.items()}
        for name, positions in strays.items():
            self.book.found(Kind.DOUBLED, name, route.topic, positions, "Kafka has no such offset")
        if not wrong and not any(len(s) for s in strays.values()):
            return None
        return self._compare_records(log, [log.ranges[i] for i in sorted(wrong)], names, strays, altered)

    def _compare_records(
        self,
        log: Log,
        ranges: Sequence[Range],
        names: Mapping[str, pl.DataFrame],
        strays: Mapping[str, pl.Series],
        altered: Mapping[str, Iterable[int]],
    ) -> "_Truth":
        route = self.route
        readable = [r for r in ranges if r.first >= log.retained[r.partition]][:LOOKED_AT]
        gone = log.known_lost(table(route.bronze).owner)
        valid, invalid = self._read(readable)
        wrong = [*strays.values(), *(pl.Series(list(p), dtype=pl.Int64) for p in altered.values())]
        for name, expected in ((route.bronze, valid.select("position", "record_hash")), (DEAD_LETTERS, invalid)):
            actual = _within(log, names[name].select("position", "record_hash"), readable)
            found = differences(expected, actual, ["position"])
            lost, doubled, unlike = (f["position"] for f in (found.lost, found.doubled, found.altered))
            lost = lost.filter(~lost.is_in(gone.implode()))
            told = altered.get(name, ())
            fresh = unlike.filter(~unlike.is_in(pl.Series(list(told), dtype=pl.Int64).implode()))
            self.book.found(Kind.LOST, name, route.topic, lost, "Kafka has it")
            self.book.found(Kind.DOUBLED, name, route.topic, doubled, "Kafka has it once, or not as such a record")
            self.book.found(Kind.ALTERED, name, route.topic, fresh, "its hash is not that of Kafka's record")
            wrong += [lost, doubled, unlike]
        named = pl.Series([p for positions in altered.values() for p in positions], dtype=pl.Int64)
        wrong += [self._compare_by_offsets(log, each, names, named) for each in ranges if each not in readable]
        wrong.append(gone)
        positions = pl.DataFrame({"position": pl.concat([w.cast(pl.Int64) for w in wrong]).unique()})
        return _Truth(positions, valid.join(positions, on="position", how="semi"))

    def _read(self, ranges: Sequence[Range]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Kafka's records as bronze and the dead letters must have them."""
        route = self.route
        valid: list[tuple[object, ...]] = []
        invalid: list[tuple[int, int]] = []
        for record in read_records(self.settings, ranges):
            at = _position(record.partition, record.offset)
            hashed = record_hash(record.topic, record.partition, record.offset, record.value)
            verdict = validate(record.topic, record.key, record.value, record.arrival_ms)
            if isinstance(verdict, Valid):
                valid.append((*verdict.fields.values(), record.partition, record.offset, hashed))
            else:
                invalid.append((at, hashed))
        stored = polars_schema(table(route.bronze))
        wire = {f.name: pl.Int64() if f.kind is FieldKind.TIME else stored[f.name] for f in route.event.fields}
        position = {name: stored[name] for name in ("partition", "offset", "record_hash")}
        times = [
            pl.from_epoch(f.name, "ms").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
            for f in route.event.fields
            if f.kind is FieldKind.TIME
        ]
        rows = pl.DataFrame(valid, schema=wire | position, orient="row").with_columns(times)
        return (
            rows.with_columns(POSITION, *self._digests()),
            pl.DataFrame(invalid, schema=_POSITIONS, orient="row"),
        )

    def _compare_by_offsets(
        self, log: Log, each: Range, names: Mapping[str, pl.DataFrame], altered: pl.Series
    ) -> pl.Series:
        """What can be said of a range without its records, which retention has removed, or which are too many: its
        sum stands for them. Returns the positions that are wrong, or may be.

        `altered`: positions that are named already, for which the sum may differ.
        """
        rows = pl.concat([_within(log, n.select("position", "record_hash"), [each]) for n in names.values()])
        first, end = log.at(each.partition, each.first), log.at(each.partition, each.end)
        gone = log.known_lost(table(self.route.bronze).owner)
        gone = gone.filter(gone.is_between(first, end - 1))
        missing = pl.Series(list(range(first, end)) if each.dense else [], dtype=pl.Int64)
        missing = missing.filter(~missing.is_in(rows["position"].implode()) & ~missing.is_in(gone.implode()))
        twice = rows.filter(pl.col("position").is_duplicated())["position"].unique()
        name, topic = self.route.bronze, self.route.topic
        self.book.found(Kind.LOST, name, topic, missing, "Kafka had it")
        self.book.found(Kind.DOUBLED, name, topic, twice, "Kafka had it once")
        if missing.is_empty() and twice.is_empty() and not altered.is_between(first, end - 1).any():
            offsets = f"offsets {each.first}-{each.end - 1}"
            if len(gone):
                self.book.notes.append(
                    f"{topic}[{each.partition}] {offsets}: the sum that was taken of them holds {len(gone):,} that are "
                    f"known to be lost, so that it proves nothing of the other {rows.height:,}"
                )
                return gone
            self.book.count(
                Kind.ALTERED,
                name,
                topic,
                each.partition,
                1,
                f"{offsets} hold {rows.height:,} records, Kafka had {each.records:,}, and the hashes differ",
            )
            return pl.Series(range(first, end), dtype=pl.Int64)
        return pl.concat([missing, twice])

    # Silver

    def _audit_silver(self, name: str, bronze: pl.DataFrame, truth: "_Truth | None") -> None:
        """`bronze`: as Kafka has it, within the audited ranges."""
        route = self.route
        settled = self._read_by_silver(name, bronze) if route.event.changelog else bronze
        duplicates, superseded = losers(settled, route.event.changelog)
        left_out = pl.concat([duplicates, superseded])
        expected = settled.join(left_out, on="position", how="anti")
        columns = ["position", "record_hash", "payload"]
        rows = {log.number: self._select(log, name, [self._digests()[1]]) for log in self.logs}
        strays = self._strays(self.logs[-1], rows[0])["position"].unique()
        actual = pl.concat([_followed(log, rows[log.number]) for log in self.logs])
        self._sums("silver", name, actual)
        self._sums("duplicate", None, duplicates)
        if route.event.changelog:
            self._sums("superseded", None, superseded)
        wrong = _unequal(expected, actual)
        found = differences(
            expected.filter(pl.col("range").is_in(wrong)).select(columns),
            actual.filter(pl.col("range").is_in(wrong)).select(columns),
            ["position"],
        )
        lost, doubled, unlike = (f["position"] for f in (found.lost, found.doubled, found.altered))
        reasons = (
            (Kind.DOUBLED, strays, "Kafka has no such offset"),
            (Kind.LOST, lost, f"{route.bronze} has it, and no other record of its event stands for it"),
            (Kind.DOUBLED, doubled, "it is there twice, or another record of its event stands for it"),
            (Kind.ALTERED, unlike, "not what the record says"),
        )
        told = pl.Series(dtype=pl.Int64) if truth is None else truth.wrong["position"]
        for kind, wrongly, why in reasons:
            self.book.found(kind, name, route.topic, wrongly.filter(~wrongly.is_in(told.implode())), why)
        positions = pl.concat([lost, doubled, unlike, strays]).unique()
        if len(positions):
            due = expected.filter(pl.col("position").is_in(positions.implode()))["position"]
            self.tables.mend(name, positions, self._rows(name, due, truth))

    def _read_by_silver(self, silver: str, bronze: pl.DataFrame) -> pl.DataFrame:
        """The changes that silver has read: a version may be superseded by one that is on its way."""
        read = self.tables.read(silver).get(self.route.bronze)
        if read is None or read >= (self.tables.version(self.route.bronze) or 0):
            return bronze
        try:
            known = self._positions(read)
        except VersionMissingError:
            return bronze
        later = self._positions().join(known, on="position", how="anti")
        return bronze.join(later, on="position", how="anti")

    def _positions(self, version: int | None = None) -> pl.DataFrame:
        rows = self.tables.scan(self.route.bronze, version)
        return pl.concat([log.of(rows).select(log.position) for log in self.logs]).collect()

    def _rows(self, silver: str, positions: pl.Series, truth: "_Truth | None") -> pl.DataFrame:
        """Silver's rows at these positions as they must be, as far as sums need them."""
        columns = [*self.route.payload, "partition", "offset", "record_hash"]
        rows = self.tables.scan(self.route.bronze).filter(POSITION.is_in(positions.implode())).select(columns).collect()
        if truth is not None:
            known = rows.with_columns(POSITION).join(truth.wrong, on="position", how="anti").select(columns)
            mended = truth.rows.filter(pl.col("position").is_in(positions.implode())).select(columns)
            rows = pl.concat([known, mended])
        if "event_date" in table(silver).column_names:
            rows = rows.with_columns(event_date=pl.col("event_time").dt.date())
        return rows.with_columns(topic=pl.lit(self.route.topic))


@dataclass(frozen=True, slots=True)
class _Truth:
    """`wrong`: positions at which bronze is not as Kafka has it; `rows`: the valid records there."""

    wrong: pl.DataFrame
    rows: pl.DataFrame

    @classmethod
    def all(cls, found: Sequence["_Truth"]) -> "_Truth | None":
        """What was found of several logs, as one."""
        if not found:
            return None
        return cls(pl.concat([f.wrong for f in found]), pl.concat([f.rows for f in found], how="diagonal"))


def _unequal(expected: pl.DataFrame, actual: pl.DataFrame) -> list[int]:
    """The ranges in which records, hashes or payloads don't add up to the same."""

    def sums(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.group_by("range").agg(
            pl.len(), _HASH.cast(pl.Int128).sum(), pl.col("payload").cast(pl.Int128).sum()
        )

    held, due = sums(actual), sums(expected)
    same = due.join(held, on=due.columns, how="semi")["range"]
    ranges = pl.concat([due["range"], held["range"]]).unique()
    return ranges.filter(~ranges.is_in(same.implode())).to_list()


def _in_ranges(log: Log, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that lie in one of `log.ranges`, with its index."""
    firsts = pl.Series([log.at(r.partition, r.first) for r in log.ranges], dtype=pl.Int64)
    ends = pl.Series([log.at(r.partition, r.end) for r in log.ranges], dtype=pl.Int64)
    if firsts.is_empty():
        return rows.clear().with_columns(range=pl.lit(None, pl.Int64))
    index = firsts.search_sorted(rows["position"], side="right").cast(pl.Int64) - 1
    inside = (index >= 0) & (rows["position"] < ends.gather(index.clip(0)))
    return rows.with_columns(range=index).filter(inside)


def _followed(log: Log, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that are followed on into silver, with a number that parts them: of the topic those in its
    audited ranges, and those that retention removed before an audit had read them, which may stand for duplicates; of
    a predecessor all, as nothing is added any more to what no audit has read."""
    if log.number:
        return rows.with_columns(range=pl.lit(-log.number, pl.Int64))
    return pl.concat([_in_ranges(log, rows), _unread(log, rows)])


def _unread(log: Log, rows: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that lie below the end of what is audited and in none of its ranges."""
    beside = [
        pl.col("position").is_between(log.at(p, first), log.at(p, until), "left")
        for p, end in log.ends.items()
        for first, until in unread((r for r in log.ranges if r.partition == p), end)
    ]
    return rows.filter(reduce(or_, beside, pl.lit(False))).with_columns(range=pl.lit(_UNREAD, pl.Int64))


def _within(log: Log, rows: pl.DataFrame, ranges: Sequence[Range]) -> pl.DataFrame:
    inside = [
        pl.col("position").is_between(log.at(r.partition, r.first), log.at(r.partition, r.end), "left") for r in ranges
    ]
    return rows.filter(reduce(or_, inside, pl.lit(False)))


def _position(partition: int, offset: int) -> int:
    return (partition << OFFSET_BITS) + offset
