"""What a table's files say of two of its versions: the rows that differ, whatever happened in between."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.delta.difference import Rewrite, difference

Rows = Counter[int]


@dataclass
class Table:
    """A model: the rows of each file that ever was, the files of each version, and what made it."""

    rows: dict[str, Rows] = field(default_factory=dict)
    versions: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    commits: list[Rewrite] = field(default_factory=list)
    names: "count[int]" = field(default_factory=count)

    @property
    def files(self) -> list[str]:
        return sorted(self.versions[-1])

    def content(self, version: int) -> Rows:
        return sum((self.rows[path] for path in self.versions[version]), Counter())

    def commit(self, added: list[Rows], removed: list[str], *, data_change: bool = True) -> None:
        paths = {f"f{next(self.names)}": rows for rows in added}
        self.rows |= paths
        self.move(frozenset(paths), frozenset(removed), data_change)

    def move(self, added: frozenset[str], removed: frozenset[str], data_change: bool = True) -> None:
        self.commits.append(Rewrite(added, removed, data_change))
        self.versions.append((self.versions[-1] - removed) | added)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    table, rows = Table(), st.lists(st.integers(0, 5), max_size=3).map(Counter)
    for _ in range(draw(st.integers(1, 12))):
        chosen = draw(st.lists(st.sampled_from(table.files), unique=True, max_size=3)) if table.files else []
        match draw(st.sampled_from(["insert", "correct", "compact", "restore"])):
            case "insert":
                table.commit([draw(rows)], [])
            case "correct":
                table.commit([draw(rows)], chosen)
            case "compact":
                whole = sorted(sum((table.rows[path] for path in chosen), Counter()).elements())
                cut = draw(st.integers(0, len(whole)))
                table.commit([Counter(whole[:cut]), Counter(whole[cut:])], chosen, data_change=False)
            case "restore":
                wanted = draw(st.sampled_from(table.versions))
                table.move(wanted - table.versions[-1], table.versions[-1] - wanted)
    return table


@given(table=tables(), data=st.data())
def test_gained_less_lost_rows_are_what_the_versions_differ_by(table: Table, data: st.DataObject) -> None:
    newest = len(table.versions) - 1
    since = data.draw(st.integers(0, newest))
    until = data.draw(st.integers(since, newest))
    known = data.draw(st.sampled_from([table.commits[since:until], []]))  # a log that was trimmed tells nothing
    found = difference(table.versions[since], table.versions[until], known)
    signed = Counter(table.content(until))
    signed.subtract(table.content(since))
    by_files: Rows = Counter()
    for path in found.gained:
        by_files.update(table.rows[path])
    for path in found.lost:
        by_files.subtract(table.rows[path])
    assert {row: n for row, n in by_files.items() if n} == {row: n for row, n in signed.items() if n}


def test_what_was_only_put_together_is_not_read() -> None:
    table = Table()
    for row in range(4):
        table.commit([Counter([row])], [])
    since = len(table.versions) - 1
    table.commit([Counter([0, 1])], ["f0", "f1"], data_change=False)
    table.commit([Counter([7])], [])
    table.commit([Counter([0]), Counter([1, 2])], ["f4", "f2"], data_change=False)
    found = difference(table.versions[since], table.versions[-1], table.commits[since:])
    assert (found.gained, found.lost) == ({"f5"}, set())


def test_of_what_was_put_together_with_something_new_all_is_read() -> None:
    table = Table()
    table.commit([Counter([0])], [])
    table.commit([Counter([1])], [])
    table.commit([Counter([0, 1])], ["f0", "f1"], data_change=False)
    found = difference(table.versions[1], table.versions[3], table.commits[1:])
    assert (found.gained, found.lost) == ({"f2"}, {"f0"})
