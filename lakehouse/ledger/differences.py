"""Two frames compared by key: what one lacks, has too often, or has otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import polars as pl


@dataclass(frozen=True, slots=True)
class Differences:
    """Keys, each once."""

    lost: pl.DataFrame
    doubled: pl.DataFrame
    altered: pl.DataFrame


def differences(expected: pl.DataFrame, actual: pl.DataFrame, key: Sequence[str]) -> Differences:
    """How `actual` departs from `expected`, which has each key once; other columns of `expected` are compared.

    A key that is there twice, or that nobody expects, is doubled.
    """
    values = [c for c in expected.columns if c not in key]
    both = expected.join(actual, on=key, suffix=":actual", nulls_equal=True)
    unlike = reduce(or_, (pl.col(c).ne_missing(pl.col(c + ":actual")) for c in values))
    twice = actual.filter(pl.struct(key).is_duplicated()).select(key)
    unexpected = actual.join(expected, on=key, how="anti", nulls_equal=True).select(key)
    return Differences(
        expected.join(actual, on=key, how="anti", nulls_equal=True).select(key),
        pl.concat([twice, unexpected]).unique(),
        both.filter(unlike).select(key).unique(),
    )
