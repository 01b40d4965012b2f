"""Records that Kafka no longer has and that a job had not read: found before the job jumps over them, told by topic,
partition and offset, and written down once somebody has said that the job shall go on without them."""

from lakehouse.losses.found import Loss, RecordsLostError, beginnings, find_losses, in_words
from lakehouse.losses.recorded import KnownLoss, known_losses, record_losses
from lakehouse.losses.watch import TopicWatch, require_same

__all__ = [
    "KnownLoss",
    "Loss",
    "RecordsLostError",
    "TopicWatch",
    "beginnings",
    "find_losses",
    "in_words",
    "known_losses",
    "record_losses",
    "require_same",
]
