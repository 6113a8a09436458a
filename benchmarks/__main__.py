"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

from tests.servers import ServerError

from benchmarks import console, events, graph, growth, queue
from benchmarks.cases import DURABLE, MEMORY, QUEUE
from benchmarks.events.outcome import EventBenchmarkError
from benchmarks.events.outcome import Stage as EventStage
from benchmarks.queue.measures import Sizes as QueueSizes
from benchmarks.queue.processes import QueueBenchmarkError
from benchmarks.report import as_json, as_table
from benchmarks.runner import BenchmarkError, Plan, measure
from benchmarks.stores import SQLITE, STORAGES, databases

QUEUE_RUNS = 64
QUEUE_MEASURES = ("throughput", "idle", "scaling")


def main() -> int:
    """Measure, and print each outcome as soon as it is there."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and workers are ended
    try:
        with tempfile.TemporaryDirectory(prefix="phaseline-bench-", dir=options.dir) as directory:
            for text in options.measure(options, Path(directory)):
                print(text, flush=True)
    except (BenchmarkError, EventBenchmarkError, QueueBenchmarkError, ServerError) as error:
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


def _growth(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    sizes = growth.Sizes(options.items, options.phases, options.finished, options.rounds)
    with databases(options.storage, directory) as made:
        for name in options.only or growth.MEASURES:
            outcome = growth.measure(name, growth.Stage(options.storage, made, sizes))
            yield outcome.as_json() if options.json else outcome.as_text()


def _graph(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    for storage in options.storage or (graph.MEMORY, SQLITE):
        outcome = graph.measure(storage, directory, options.rounds)
        yield outcome.as_json() if options.json else outcome.as_text()


def _queue(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    sizes = QueueSizes(options.rounds, options.jobs, options.samples)
    for line in queue.measure(directory, sizes, options.only or QUEUE_MEASURES):
        yield (
            json.dumps(line) if options.json else "\n".join(f"{key}: {value}" for key, value in line.items())
        )


def _console(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    for storage in options.storage or STORAGES:
        with databases(storage, directory) as made:
            stage = console.Stage(storage, made, options.runs, options.rounds)
            for line in console.measure(stage, options.only or [*console.MEASURES]):
                yield line.as_json() if options.json else line.as_text()


def _events(options: argparse.Namespace, directory: Path) -> Iterator[str]:
    stage = EventStage(directory, options.samples, options.rate, options.events)
    for name in options.only or events.MEASURES:
        for line in events.MEASURES[name](stage):
            yield line.as_json() if options.json else line.as_text()


# --------------------------------------------------------------------- options
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure phaseline beside its peers, interleaved in one run; figures are medians over the rounds.",
    )
    kinds = parser.add_subparsers(required=True, metavar="{memory,durable,growth,graph,queue,events}")
    memory = kinds.add_parser("memory", help="cost of a phase in memory; one-phase runs through the queue")
    durable = kinds.add_parser("durable", help="committed phases per second")
    grown = kinds.add_parser(
        "growth", help="what size costs: long maps and chains, full tables, large values"
    )
    joins = kinds.add_parser("graph", help="what a wide join costs for each task, against a narrow one")
    joins.add_argument(
        "--storage", choices=graph.PLACES, action="append", help="by default memory and sqlite"
    )
    joins.set_defaults(measure=_graph)
    queued = kinds.add_parser(
        "queue", help="one-phase runs through a worker process, on Redis and PostgreSQL"
    )
    queued.add_argument(
        "--only", choices=QUEUE_MEASURES, action="append", help="one of them; may be repeated"
    )
    queued.add_argument("--jobs", type=_at_least(500), default=5_000, help="of a round (default 5 000)")
    queued.add_argument(
        "--samples",
        type=_at_least(20),
        default=100,
        help="starts on an idle worker in each round (default 100)",
    )
    queued.set_defaults(measure=_queue)
    looked = kinds.add_parser("console", help="how soon pages of the console are drawn, in a real browser")
    looked.add_argument("--storage", choices=STORAGES, action="append", help="by default both")
    looked.add_argument("--only", choices=[*console.MEASURES], action="append", help="may be repeated")
    looked.add_argument(
        "--runs", type=_at_least(100), default=100_000, help="in the tables (default 100 000)"
    )
    looked.set_defaults(measure=_console)
    told = kinds.add_parser("events", help="how soon, and how fast, events reach those who listen")
    _add_events(told)
    memory.set_defaults(measure=_memory, runs=[1])
    durable.set_defaults(measure=_durable, runs=[64])
    grown.set_defaults(measure=_growth)
    for kind, case in ((memory, MEMORY), (durable, DURABLE)):
        kind.add_argument("--runs", type=_numbers, metavar="N[,N…]", help="runs at once")
        kind.add_argument("--seconds", type=_seconds, default=2.0, help="length of a round (default 2)")
        kind.add_argument(
            "--only", choices=case.contenders, help="measure one contender; then there is no ratio"
        )
    for kind in (durable, grown):
        kind.add_argument("--storage", choices=STORAGES, default=SQLITE)
    _add_sizes(grown)
    for kind in (memory, durable, grown, joins, queued, looked):
        kind.add_argument("--rounds", type=_positive, default=5, help="rounds of each contender (default 5)")
    for kind in (memory, durable, grown, joins, queued, looked, told):
        kind.add_argument(
            "--dir", type=_directory, help="parent of the temporary directory: chooses the disk"
        )
        kind.add_argument("--json", action="store_true", help="one JSON object a line, the headline first")
    return parser


def _add_events(told: argparse.ArgumentParser) -> None:
    told.add_argument("--only", choices=events.MEASURES, action="append", help="one of them; may be repeated")
    told.add_argument(
        "--samples", type=_at_least(20), default=1_000, help="commits that are timed (default 1 000)"
    )
    told.add_argument("--rate", type=_seconds, default=100.0, help="of these, a second (default 100)")
    told.add_argument(
        "--events", type=_at_least(500), default=50_000, help="told as fast as can be (default 50 000)"
    )
    told.set_defaults(measure=_events)


def _add_sizes(grown: argparse.ArgumentParser) -> None:
    least = growth.Sizes.LEAST
    grown.add_argument(
        "--only", choices=growth.MEASURES, action="append", help="one of them; may be repeated"
    )
    grown.add_argument("--items", type=_at_least(least.items), default=10_000, help="of the map")
    grown.add_argument("--phases", type=_at_least(least.phases), default=1_000, help="of the chain")
    grown.add_argument(
        "--finished", type=_positive, default=1_000_000, help="runs that have ended, in the tables"
    )


def _numbers(text: str) -> list[int]:
    return [_positive(part) for part in text.split(",")]


def _positive(text: str) -> int:
    return _at_least(1)(text)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:,} up")
        return int(text)

    return number


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
