"""Comparing where a job is with what its topics still have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lakehouse.checkpoints import Positions
from lakehouse.kafka.consumer import stable_ranges
from lakehouse.kafka.topics import topic_ids
from lakehouse.settings import Settings


@dataclass(frozen=True, slots=True)
class Loss:
    """Records of one partition that a job had not read and that are gone.

    `topic_id`: of the topic that had them. `first`: the offset that the job was to read next; None: nobody knows.
    `end` (exclusive): where Kafka begins now; None where the topic itself is gone and another has its name: nobody
    knows how many records it had got.
    """

    topic: str
    topic_id: str | None
    partition: int
    first: int | None
    end: int | None

    @property
    def made_anew(self) -> bool:
        """Whether the topic is gone."""
        return self.end is None

    @property
    def offsets(self) -> int | None:
        """How many offsets are lost; None where nobody knows."""
        return None if self.first is None or self.end is None else self.end - self.first


def in_words(losses: Iterable[Loss]) -> str:
    """For people: by topic and partition, which offsets are gone."""
    losses = tuple(losses)
    said = [f"{e.topic}[{e.partition}] offsets {e.first}-{e.end - 1} are gone" for e in losses if e.end is not None]
    anew: dict[str, list[Loss]] = {}
    for each in losses:
        if each.made_anew:
            anew.setdefault(each.topic, []).append(each)
    for topic, of_topic in anew.items():
        known = ", ".join(f"{topic}[{each.partition}] {each.first}" for each in of_topic if each.first is not None)
        since = f"from the offsets {known} on" if known else "and had not been read"
        said.append(f"{topic} was deleted and made anew: what its predecessor held {since} is gone")
    return "; ".join(said)


class RecordsLostError(RuntimeError):
    """A job can't go on where it was: Kafka no longer has the records that come next."""

    def __init__(self, job: str, losses: Sequence[Loss]) -> None:
        super().__init__(
            f"{job} can't go on, it had not read all that Kafka has lost: {in_words(losses)}. To let it go on without "
            f"these records, and have that written down: lakehouse job accept-loss {job}"
        )
        self.job = job
        self.losses = tuple(losses)


def find_losses(
    settings: Settings, topics: Iterable[str], positions: Positions, ids: Mapping[str, str]
) -> tuple[dict[str, str], list[Loss]]:
    """The ids that `topics` have now, and what was lost of them.

    `positions`: the next offset to read, by topic and partition; one without a position has begun nowhere and loses
    nothing. `ids`: those that the topics had when the positions were taken; one without is taken for the same.

    Raises:
        ReadError: there is no such topic.
        ServiceDownError: Kafka does not answer.
    """
    topics = tuple(topics)
    begins = beginnings(settings, topics)
    now = topic_ids(settings, topics)
    losses = []
    for topic in topics:
        held = positions.get(topic, {})
        if ids.get(topic, now[topic]) != now[topic]:
            # Kafka forgets a group's offsets with the topic: without a position too, something was there.
            partitions = sorted(held) or sorted(begins[topic])
            losses += [Loss(topic, ids[topic], p, held.get(p), None) for p in partitions]
        else:
            losses += [
                Loss(topic, now[topic], p, offset, begins[topic][p])
                for p, offset in sorted(held.items())
                if offset < begins[topic].get(p, 0)
            ]
    return now, losses


def beginnings(settings: Settings, topics: Iterable[str]) -> dict[str, dict[int, int]]:
    """The first offset that each partition of `topics` still has. Raises as `find_losses`."""
    return {topic: low for topic, (low, _) in stable_ranges(settings, tuple(topics)).items()}
