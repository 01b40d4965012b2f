"""The command line of `jobs.batch.replay`."""

import argparse
import logging
import sys
from collections.abc import Sequence

from jobs.batch.replay import CARRY_OUT, carry_out
from jobs.process import exit_status
from lakehouse.kafka.consumer import ReadError
from lakehouse.replay.steps import STEPS, UNDO
from lakehouse.replay.store import ReplayError
from lakehouse.runtime.code_in_force import CodeError
from lakehouse.settings import Settings

log = logging.getLogger("replay")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.batch.replay",
        description="Carry out one step of a replay that was planned and approved.",
        epilog="Example: python -m jobs.batch.replay recompute 7",
    )
    parser.add_argument("step", choices=CARRY_OUT, help="; ".join(f"{s.name}: {s.does}" for s in (*STEPS, UNDO)))
    parser.add_argument("replay", type=int, help="its number, from `lakehouse replay plan`")
    arguments = parser.parse_args(argv)

    def work(settings: Settings) -> None:
        carry_out(settings, arguments.step, arguments.replay)

    return exit_status(log, work, ReplayError, ReadError, CodeError)


if __name__ == "__main__":
    sys.exit(main())
