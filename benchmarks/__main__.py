"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from math import inf
from pathlib import Path

from benchmarks.cases import DURABLE, MEMORY, QUEUE, Case
from benchmarks.report import as_json, as_table
from benchmarks.runner import BenchmarkError, Plan, measure

QUEUE_RUNS = 64


def main() -> int:
    """Measure, and print each outcome as soon as it is there."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="phaseline-bench-", dir=options.dir) as directory:
            for plan in _plans(options, Path(directory)):
                outcome = measure(plan)
                print(as_json(outcome) if options.json else as_table(outcome), flush=True)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _plans(options: argparse.Namespace, directory: Path) -> Iterator[Plan]:
    case: Case = options.case
    asked = [(case, runs) for runs in options.runs]
    if case is MEMORY:
        asked.append((QUEUE, QUEUE_RUNS))
    for each, runs in asked:
        contenders = tuple(name for name in each.contenders if options.only in (None, name))
        if contenders:
            yield Plan(each, runs, contenders, options.rounds, options.seconds, directory)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure phaseline beside its peers, interleaved in one run; figures are medians over the rounds.",
    )
    kinds = parser.add_subparsers(required=True, metavar="{memory,durable}")
    memory = kinds.add_parser("memory", help="cost of a phase in memory; one-phase runs through the queue")
    durable = kinds.add_parser("durable", help="committed phases per second")
    durable.add_argument("--storage", choices=["sqlite"], default="sqlite")
    for kind, case, runs in ((memory, MEMORY, [1]), (durable, DURABLE, [64])):
        kind.set_defaults(case=case)
        kind.add_argument("--runs", type=_numbers, default=runs, metavar="N[,N…]", help="runs at once")
        kind.add_argument("--rounds", type=_positive, default=5, help="rounds of each contender (default 5)")
        kind.add_argument("--seconds", type=_seconds, default=2.0, help="length of a round (default 2)")
        kind.add_argument(
            "--only", choices=case.contenders, help="measure one contender; then there is no ratio"
        )
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
