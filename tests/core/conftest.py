"""Tests of the whole lakehouse on Flink's ingest and the follower: run with ``LAKEHOUSE_CORE=follower``."""

from lakehouse.contracts.core import CORE, Core

collect_ignore_glob = [] if CORE is Core.FOLLOWER else ["test_*.py"]
