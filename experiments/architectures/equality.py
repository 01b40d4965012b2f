"""Whether Lambda's serving views hold what Kappa's tables do."""

from dataclasses import dataclass

from jobs.rust_engines.lambda_serving import merged
from lakehouse.compare.comparison import TableComparison, compare_frames
from lakehouse.compare.tables import PinnedTable
from lakehouse.contracts.tables import LAMBDA_METRICS, table
from lakehouse.lambda_layers import batch_table, open_layers
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Served:
    """A metric's serving view against Kappa's table: `comparison`, and where the rows of the view came from."""

    comparison: TableComparison
    batch_rows: int
    speed_rows: int
    counted: int
    """Records that both layers have counted, of all partitions."""


def compare_served(settings: Settings, metric: str) -> Served:
    """Compares every row and column but `changed_by`.

    Both must have counted the same records: call it when nothing more comes and both are drained.

    Raises:
        TableMissingError: neither layer has run.
        ServiceDownError: MinIO does not answer.
    """
    layers, kappa = open_layers(settings, metric), PinnedTable(settings, LAMBDA_METRICS[metric])
    expected = kappa.frame()
    view = merged(metric, layers.batch, layers.speed)
    comparison = compare_frames(
        f"lambda.serving_{metric}", kappa.version, expected, view, table(batch_table(metric)).key
    )
    speed_rows = layers.speed.count() if layers.speed is not None else 0
    counted = sum(end for partitions in layers.ends.values() for end in partitions.values())
    return Served(comparison, layers.batch.count(), speed_rows, counted)
