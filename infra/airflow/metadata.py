"""Brings Airflow's metadata to its version's schema, with our pools: ``python -m infra.airflow.metadata``.

One process for both: starting Airflow is most of what either takes.
"""

import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """`slots`: so many tasks of the pool run at once, deferred ones included; an operator may change it in the UI."""

    name: str
    slots: int
    description: str


REPLAY: Final = PoolSpec("replay", 1, "Recomputations of replays: one at a time, as the live streams go first.")
POOLS: Final = (REPLAY,)


def main() -> None:
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", "db", "migrate"]
    airflow()
    from airflow.models.pool import Pool

    for spec in POOLS:
        if Pool.get_pool(spec.name) is None:
            Pool.create_or_update_pool(spec.name, spec.slots, spec.description, include_deferred=True)


if __name__ == "__main__":
    main()
