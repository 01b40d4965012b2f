"""How a Flink job starts, as its command line says."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Start:
    """`generation` counts the states that the job began with. `restore`: the checkpoint or savepoint to go on from;
    without it the job starts with new state, at the first records that its topics still have, or, `positioned`, at the
    offsets of its group. `checkpoints`: where its own go. `topics`: by name without namespace, the id of the topic that
    its positions are of. `past_losses`: where the log has a position no longer, go on with the first record that it
    still has.
    """

    generation: int = 0
    restore: str | None = None
    checkpoints: str | None = None
    topics: Mapping[str, str] = field(default_factory=dict)
    past_losses: bool = False
    positioned: bool = False


def parse_start(
    job: str, description: str | None, arguments: Sequence[str] | None, *, generation: bool = False
) -> Start:
    """The `Start` that a command line says; `generation`: it must say one, as it goes into every row."""
    parser = argparse.ArgumentParser(
        prog=f"python -m jobs.streaming.flink.{job}",
        description=description,
        epilog=f"Example: python -m jobs.streaming.flink.{job} --generation 1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    counted = "raised with new state" if generation else "of no meaning here: what the job writes is never changed"
    parser.add_argument("--generation", type=int, default=0, required=generation, help=counted)
    parser.add_argument("--restore", metavar="PATH", help="checkpoint or savepoint to go on from; else new state")
    parser.add_argument("--checkpoints", metavar="PATH", help="where its checkpoints go; by default by its name")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME=ID", help="commit nothing once the topic has another id"
    )
    parser.add_argument(
        "--past-losses", action="store_true", help="where Kafka lacks a restored position: go on with what it still has"
    )
    parser.add_argument("--positioned", action="store_true", help="new state begins at its group's offsets")
    said = parser.parse_args(arguments)
    topics = dict(each.split("=", 1) for each in said.topic)
    return Start(said.generation, said.restore, said.checkpoints, topics, said.past_losses, said.positioned)
