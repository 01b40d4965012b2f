"""``shop.transactions`` -> ``bronze.transactions``; Flink is their ingester."""

from collections.abc import Sequence

from jobs.streaming.flink import ingest
from lakehouse.contracts.events import TRANSACTIONS
from lakehouse.contracts.owners import INGEST_TRANSACTIONS


def main(arguments: Sequence[str] | None = None) -> None:
    ingest.main(INGEST_TRANSACTIONS, TRANSACTIONS, "bronze.transactions", dead_letters=True, arguments=arguments)


if __name__ == "__main__":
    main()
