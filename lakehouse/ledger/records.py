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
from lakehouse.contracts.tables import table
from lakehouse.contracts.validation import Valid, validate
from lakehouse.delta import VersionMissingError
from lakehouse.ledger.differences import differences
from lakehouse.ledger.findings import OFFSET_BITS, Book, Kind, Sum
from lakehouse.ledger.ranges import Range, read_records
from lakehouse.ledger.routes import DEAD_LETTERS, Route
from lakehouse.ledger.tables import POSITION, Tables
from lakehouse.settings import Settings

LOOKED_AT: Final = 20
"""So many ranges of a topic are read again at most to see what is wrong: a million records, which memory holds."""
_HASH: Final = pl.col("record_hash")
_POSITIONS: Final = {"position": pl.Int64(), "record_hash": pl.Int64()}


def losers(bronze: pl.DataFrame, changelog: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The positions that silver leaves out: duplicates, and of a changelog the versions that a later one with the
    same `valid_from` supersedes.

    `bronze`: position, identity and, of a changelog, rival. Of an event the lowest position stays; of rival versions
    among these the highest.
    """
    ordered = bronze.sort("position")
    first = pl.col("identity").is_first_distinct()
    duplicates, once = ordered.filter(~first), ordered.filter(first)
    if not changelog:
        return duplicates, once.clear()
    return duplicates, once.filter(~pl.col("rival").is_last_distinct())


@dataclass(slots=True)
class Trail:
    """Follows the records of one topic. `ranges`: what Kafka holds, joined by partition; `ends`: up to where it is
    audited, `log_ends`: where the log ended after the tables were pinned: what a table has between the two came later.
    `retained`: the first offset of each partition that Kafka still has.
    """

    settings: Settings
    tables: Tables
    route: Route
    ranges: Sequence[Range]
    ends: Mapping[int, int]
    log_ends: Mapping[int, int]
    retained: Mapping[int, int]
    book: Book

    def follow(self, altered: Mapping[str, Iterable[int]]) -> None:
        """Into bronze and on into silver. `altered`: positions by table that a look at the contents found."""
        route = self.route
        bronze = self._bronze()
        dead = self.tables.scan(DEAD_LETTERS).filter(topic=route.topic).select(POSITION, _HASH).collect()
        truth = self._audit_bronze(bronze, dead, altered)
        if truth is not None:
            bronze = pl.concat([bronze.join(truth.wrong, on="position", how="anti"), truth.rows], how="diagonal")
        bronze = self._placed(bronze).drop_nulls("range")
        if route.silver is not None:
            self._audit_silver(route.silver, bronze, truth)

    # Bronze

    def _bronze(self) -> pl.DataFrame:
        """Numbers in place of text, so that millions fit: 64 bits of an event's identity, and of its payload."""
        rows = self.tables.scan(self.route.bronze)
        return rows.select(POSITION, _HASH, *self._digests()).collect(engine="streaming")

    def _digests(self) -> list[pl.Expr]:
        route = self.route
        digests = {"identity": route.identity, "payload": route.payload}
        if route.event.changelog:
            digests["rival"] = (route.event.key, "valid_from")
        return [pl.struct(columns).hash().alias(name) for name, columns in digests.items()]

    def _placed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """With the index of each row's range; null where no audited range has its position."""
        firsts = pl.Series([_position(r.partition, r.first) for r in self.ranges], dtype=pl.Int64)
        ends = pl.Series([_position(r.partition, r.end) for r in self.ranges], dtype=pl.Int64)
        index = firsts.search_sorted(rows["position"], side="right").cast(pl.Int64) - 1
        inside = (index >= 0) & (rows["position"] < ends.gather(index.clip(0)))
        return rows.with_columns(range=pl.when(inside).then(index)) if len(firsts) else rows.with_columns(range=None)

    def _strays(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows at positions that the topic never had."""
        partition, offset = pl.col("position") // (1 << OFFSET_BITS), pl.col("position") % (1 << OFFSET_BITS)
        known = [(partition == p) & (offset < end) for p, end in self.log_ends.items()]
        return rows.filter(~reduce(or_, known, pl.lit(False)))

    def _sums(self, layer: str, name: str | None, rows: pl.DataFrame) -> None:
        version = self.tables.version(name) if name else None
        partition = pl.col("position") // (1 << OFFSET_BITS)
        sums = rows.group_by(partition.alias("partition")).agg(pl.len(), _HASH.cast(pl.Int128).sum())
        by_partition = {p: (records, hash_sum) for p, records, hash_sum in sums.iter_rows()}
        for p in sorted(self.ends):
            covered = [r for r in self.ranges if r.partition == p]
            if covered:
                records, hash_sum = by_partition.get(p, (0, 0))
                first, end = covered[0].first, covered[-1].end
                self.book.sums.append(Sum(layer, name, version, records, hash_sum, self.route.topic, p, first, end))

    def _audit_bronze(
        self, bronze: pl.DataFrame, dead: pl.DataFrame, altered: Mapping[str, Iterable[int]]
    ) -> "_Truth | None":
        route, names = self.route, {self.route.bronze: bronze, DEAD_LETTERS: dead}
        placed = self._placed(pl.concat([bronze.select("position", "record_hash"), dead]))
        inside = placed.drop_nulls("range")
        held = {
            index: (records, hash_sum)
            for index, records, hash_sum in inside.group_by("range")
            .agg(pl.len(), _HASH.cast(pl.Int128).sum())
            .iter_rows()
        }
        wrong = {i for i, r in enumerate(self.ranges) if held.get(i, (0, 0)) != (r.records, r.hash_sum)}
        for name, positions in altered.items():
            found = self._placed(pl.DataFrame({"position": pl.Series(list(positions), dtype=pl.Int64)}))
            wrong |= set(found["range"].drop_nulls())
            self.book.found(
                Kind.ALTERED, name, route.topic, found.drop_nulls("range")["position"], "not what its value says"
            )
        for name, rows in names.items():
            self._sums(
                "dead_letters" if name == DEAD_LETTERS else "bronze", name, self._placed(rows).drop_nulls("range")
            )
        strays = {name: self._strays(rows)["position"].unique() for name, rows in names.items()}
        for name, positions in strays.items():
            self.book.found(Kind.DOUBLED, name, route.topic, positions, "Kafka has no such offset")
        if not wrong and not any(len(s) for s in strays.values()):
            return None
        return self._compare_records([self.ranges[i] for i in sorted(wrong)], names, strays, altered)

    def _compare_records(
        self,
        ranges: Sequence[Range],
        names: Mapping[str, pl.DataFrame],
        strays: Mapping[str, pl.Series],
        altered: Mapping[str, Iterable[int]],
    ) -> "_Truth":
        route = self.route
        readable = [r for r in ranges if r.first >= self.retained[r.partition]][:LOOKED_AT]
        valid, invalid = self._read(readable)
        wrong = [*strays.values(), *(pl.Series(list(p), dtype=pl.Int64) for p in altered.values())]
        for name, expected in ((route.bronze, valid.select("position", "record_hash")), (DEAD_LETTERS, invalid)):
            actual = _within(names[name].select("position", "record_hash"), readable)
            found = differences(expected, actual, ["position"])
            lost, doubled, unlike = (f["position"] for f in (found.lost, found.doubled, found.altered))
            told = altered.get(name, ())
            fresh = unlike.filter(~unlike.is_in(pl.Series(list(told), dtype=pl.Int64).implode()))
            self.book.found(Kind.LOST, name, route.topic, lost, "Kafka has it")
            self.book.found(Kind.DOUBLED, name, route.topic, doubled, "Kafka has it once, or not as such a record")
            self.book.found(Kind.ALTERED, name, route.topic, fresh, "its hash is not that of Kafka's record")
            wrong += [lost, doubled, unlike]
        named = pl.Series([p for positions in altered.values() for p in positions], dtype=pl.Int64)
        wrong += [self._compare_by_offsets(each, names, named) for each in ranges if each not in readable]
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

    def _compare_by_offsets(self, each: Range, names: Mapping[str, pl.DataFrame], altered: pl.Series) -> pl.Series:
        """What can be said of a range without its records, which retention has removed, or which are too many: its
        sum stands for them. Returns the positions that are wrong, or may be.

        `altered`: positions that are named already, for which the sum may differ.
        """
        rows = pl.concat([_within(n.select("position", "record_hash"), [each]) for n in names.values()])
        first, end = _position(each.partition, each.first), _position(each.partition, each.end)
        missing = pl.Series(list(range(first, end)) if each.dense else [], dtype=pl.Int64)
        missing = missing.filter(~missing.is_in(rows["position"].implode()))
        twice = rows.filter(pl.col("position").is_duplicated())["position"].unique()
        name, topic = self.route.bronze, self.route.topic
        self.book.found(Kind.LOST, name, topic, missing, "Kafka had it")
        self.book.found(Kind.DOUBLED, name, topic, twice, "Kafka had it once")
        if missing.is_empty() and twice.is_empty() and not altered.is_between(first, end - 1).any():
            offsets = f"offsets {each.first}-{each.end - 1} hold {rows.height:,} records"
            self.book.count(
                Kind.ALTERED,
                name,
                topic,
                each.partition,
                1,
                f"{offsets}, Kafka had {each.records:,}, and the hashes differ",
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
        rows = self.tables.scan(name).select(POSITION, _HASH, self._digests()[1]).collect(engine="streaming")
        strays = self._strays(rows)["position"].unique()
        actual = self._placed(rows).drop_nulls("range")
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
            known = self.tables.scan(self.route.bronze, read).select(POSITION).collect()
        except VersionMissingError:
            return bronze
        later = self.tables.scan(self.route.bronze).select(POSITION).collect().join(known, on="position", how="anti")
        return bronze.join(later, on="position", how="anti")

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


def _within(rows: pl.DataFrame, ranges: Sequence[Range]) -> pl.DataFrame:
    inside = [
        pl.col("position").is_between(_position(r.partition, r.first), _position(r.partition, r.end), "left")
        for r in ranges
    ]
    return rows.filter(reduce(or_, inside, pl.lit(False)))


def _position(partition: int, offset: int) -> int:
    return (partition << OFFSET_BITS) + offset
