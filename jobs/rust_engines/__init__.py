"""Daily marts on a single node: each computed by Polars and by DataFusion, compared, published once."""

from jobs.rust_engines.publications import SupersededError
from jobs.rust_engines.publish import MARTS, EnginesDisagreeError, Publication, look_at, publish_day
from jobs.rust_engines.sources import Pinned

__all__ = ["MARTS", "EnginesDisagreeError", "Pinned", "Publication", "SupersededError", "look_at", "publish_day"]
