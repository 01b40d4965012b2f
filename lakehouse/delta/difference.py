"""Which files hold by how much two versions of a table differ: those of one that the other has not.

Presence at both ends decides, and no list of what happened in between: a file that came and went is neither gained nor
lost, and a log of which commits are missing gives the same. Rows count once for each gained file and once less for each
lost one that holds them; where these cancel out, nothing has changed.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What a commit did to files. `data_change`: as its actions say; without, those that it `added` hold the rows of
    those that it `removed`, as after a compaction."""

    added: frozenset[str]
    removed: frozenset[str]
    data_change: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Paths of files."""

    gained: frozenset[str]
    lost: frozenset[str]


def difference(before: Set[str], after: Set[str], between: Iterable[Rewrite] = ()) -> Difference:
    """From the files of one version to those of a later one.

    `between`: what is known of the commits after the first, up to the second. By these, files are left out whose rows
    were only put together, in however many steps: whatever came of them, and what they came of, was touched by no
    commit that changes data. What is not known of is read, and cancels out.
    """
    kin: dict[str, set[str]] = {}
    touched: set[str] = set()
    for each in between:
        paths = each.added | each.removed
        if each.data_change:
            touched |= paths
        elif paths:
            family = set[str]().union(paths, *(kin[path] for path in paths if path in kin))
            kin.update(dict.fromkeys(family, family))
    same = {path for path, family in kin.items() if touched.isdisjoint(family)}
    return Difference(frozenset(after - before - same), frozenset(before - after - same))
