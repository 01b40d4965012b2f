"""``shop.clicks`` -> ``bronze.clicks__flink``, to be compared with Spark's ``bronze.clicks``.

Without dead letters: those are Spark's to keep.
"""

from collections.abc import Sequence

from jobs.streaming.flink import ingest
from lakehouse.contracts.events import CLICKS
from lakehouse.contracts.owners import INGEST_CLICKS


def main(arguments: Sequence[str] | None = None) -> None:
    ingest.main(INGEST_CLICKS, CLICKS, "bronze.clicks__flink", dead_letters=False, arguments=arguments)


if __name__ == "__main__":
    main()
