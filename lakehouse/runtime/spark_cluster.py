"""Where a follower finds the executors of Spark, and what a cluster of ours is configured by."""

from importlib.util import find_spec
from pathlib import Path

from lakehouse.settings import Settings


def master(settings: Settings) -> str:
    """The address of the cluster: one that is set, the installation's own, or the driver's process itself."""
    if settings.spark_master:
        return settings.spark_master
    if settings.spark_workers:
        return f"spark://{settings.host}:{settings.spark_master_port}"
    return f"local[{settings.parallelism}]"


def distribution() -> Path:
    """Where Spark is installed, which PySpark brings."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("PySpark is not installed: run `make install`.")
    return Path(spec.origin).parent


def configuration_directory(settings: Settings) -> Path:
    """Of an installation's own cluster; it holds a secret."""
    return settings.home.absolute() / "data" / "spark" / "conf"
