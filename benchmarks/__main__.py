"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from math import inf
from pathlib import Path

from tests.servers import ServerError

from benchmarks.cases import DURABLE, MEMORY, QUEUE
from benchmarks.report import as_json, as_table
from benchmarks.runner import BenchmarkError, Plan, measure
from benchmarks.stores import SQLITE, STORAGES, databases

QUEUE_RUNS = 64


def main() -> int:
    """Measure, and print each outcome as soon as it is there."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="phaseline-bench-", dir=options.dir) as directory:
            for text in options.measure(options, Path(directory)):
                print(text, flush=True)
    except (BenchmarkError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


# --------------------------------------------------------------------- what each kind measures
def _memory(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    for case, runs in (*((MEMORY, runs) for runs in options.runs), (QUEUE, QUEUE_RUNS)):
        names = tuple(name for name in case.contenders if options.only in (None, name))
        if names:
            yield _measured(options, Plan(case, runs, names, options.rounds, options.seconds, directory))


def _durable(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    names = DURABLE.contenders if options.only is None else (options.only,)
    with databases(options.storage, directory) as made:
        for runs in options.runs:
            rounds, seconds = options.rounds, options.seconds
            yield _measured(
                options, Plan(DURABLE, runs, names, rounds, seconds, directory, options.storage, made)
            )


def _measured(options: argparse.Namespace, plan: Plan) -> str:
    outcome = measure(plan)
    return as_json(outcome) if options.json else as_table(outcome)


# --------------------------------------------------------------------- options
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure phaseline beside its peers, interleaved in one run; figures are medians over the rounds.",
    )
    kinds = parser.add_subparsers(required=True, metavar="{memory,durable}")
    memory = kinds.add_parser("memory", help="cost of a phase in memory; one-phase runs through the queue")
    durable = kinds.add_parser("durable", help="committed phases per second")
    memory.set_defaults(measure=_memory, runs=[1])
    durable.set_defaults(measure=_durable, runs=[64])
    for kind, case in ((memory, MEMORY), (durable, DURABLE)):
        kind.add_argument("--runs", type=_numbers, metavar="N[,N…]", help="runs at once")
        kind.add_argument("--seconds", type=_seconds, default=2.0, help="length of a round (default 2)")
        kind.add_argument(
            "--only", choices=case.contenders, help="measure one contender; then there is no ratio"
        )
    durable.add_argument("--storage", choices=STORAGES, default=SQLITE)
    for kind in (memory, durable):
        kind.add_argument("--rounds", type=_positive, default=5, help="rounds of each contender (default 5)")
        kind.add_argument(
            "--dir", type=_directory, help="parent of the temporary directory: chooses the disk"
        )
        kind.add_argument("--json", action="store_true", help="one JSON object a line, the headline first")
    return parser


def _numbers(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) < inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time")
    return seconds


def _directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a directory")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
