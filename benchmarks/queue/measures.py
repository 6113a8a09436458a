"""Throughput of one worker process, time from start to body on an idle one, and what a second process adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from tests.servers_redis import redis

from benchmarks.queue import bullmq_peer, tally
from benchmarks.queue.contenders import OURS, PEERS, Contender, bullmq
from benchmarks.queue.processes import Place
from benchmarks.stores import POSTGRES, Databases, databases

ITEMS, CONCURRENCY = 1_000, 8
"""Of the map by which scaling is measured; each item sleeps for 100 ms."""
SETTLING = 1.0
"""Seconds that a worker has between its last job and the first by which latency is measured."""


@attrs.frozen
class Sizes:
    """How much is measured."""

    rounds: int
    jobs: int
    """Of a round of throughput."""
    samples: int
    """Starts on an idle worker in each round."""


def measure(directory: Path, sizes: Sizes, only: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Measure what is asked for; gives a line for each."""
    with ExitStack() as stack:
        made = stack.enter_context(databases(POSTGRES, directory))
        server = stack.enter_context(redis())
        if {"throughput", "idle"} & set(only):
            yield from _jobs(_Stage(made, server, directory, sizes))
        if "scaling" in only:
            yield _scaling(_Stage(made, server, directory, sizes))


@attrs.frozen
class _Stage:
    databases: Databases
    redis: Any
    directory: Path
    sizes: Sizes

    def place(self, contender: Contender) -> Any:
        return Place.fresh(contender, self.redis, self.databases, self.directory)


# --------------------------------------------------------------------- jobs
def _jobs(stage: _Stage) -> Iterator[dict[str, Any]]:
    missing = bullmq_peer.install(stage.directory)
    contenders = (OURS, *PEERS, *(bullmq(stage.directory) if missing is None else ()))
    rates: dict[str, list[float]] = {each.label: [] for each in contenders}
    waits: dict[str, list[float]] = {each.label: [] for each in contenders}
    for number in range(stage.sizes.rounds):
        start = number % len(contenders)
        for contender in (*contenders[start:], *contenders[:start]):
            rate, waited = _round(stage, contender)
            rates[contender.label].append(rate)
            waits[contender.label] += waited
    absent = {} if missing is None else {"not_measured": {"bullmq": missing}}
    yield absent | _line(
        "queue.throughput", "jobs/s", {name: median(each) for name, each in rates.items()}, rates, stage
    )
    halves = {name: median(each) for name, each in waits.items()}
    yield {
        **absent,
        **_line("queue.idle", "ms from start to body, p50", halves, waits, stage, better=min),
        "p95_ms": {name: _digits(sorted(each)[int(0.95 * len(each))]) for name, each in waits.items()},
    }


def _round(stage: _Stage, contender: Contender) -> tuple[float, list[float]]:
    """Give jobs per second, and the milliseconds that each job waited which was sent to the idle worker."""
    steps = stage.sizes.jobs // tally.STEP
    with stage.place(contender) as place:
        place.ask(contender, "fill", str(stage.sizes.jobs))
        with place.worker(contender) as worker:
            begun = place.wait_until_counted(contender, 1, worker)
            first = place.counted()
            ended = place.wait_until_counted(contender, steps, worker)
            place.ask(contender, "latency", "5", str(SETTLING / 5))
            place.tally.delete(tally.WAITED)
            place.ask(contender, "latency", str(stage.sizes.samples), "0.05")
            place.wait_until_waited(contender, stage.sizes.samples, worker)
            waited = [1_000 * float(each) for each in place.tally.lrange(tally.WAITED, 0, -1)]
    return (steps - first) * tally.STEP / (ended - begun), waited


# --------------------------------------------------------------------- scaling
def _scaling(stage: _Stage) -> dict[str, Any]:
    contender = attrs.evolve(OURS, environment={**OURS.environment, "BENCH_CONCURRENCY": str(CONCURRENCY)})
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(stage.sizes.rounds):
        for workers, found in seconds.items():
            with stage.place(contender) as place, ExitStack() as stack:
                place.ask(contender, "fill", "1")  # makes the tables
                for _ in range(workers):
                    stack.enter_context(place.worker(contender))
                found.append(float(place.ask(contender, "map", str(ITEMS), str(workers))))
    factors = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    return {
        "name": "queue.scaling", "unit": "times as fast with two processes as with one", "ours": _digits(median(factors)),
        "peers": {}, "ratio": {}, "items": ITEMS, "concurrency": CONCURRENCY, "rounds": stage.sizes.rounds,
        "seconds_one": [_digits(each) for each in seconds[1]], "seconds_two": [_digits(each) for each in seconds[2]],
        "ideal_seconds_one": ITEMS * 0.1 / CONCURRENCY,
    }  # fmt: skip


# --------------------------------------------------------------------- lines
def _line(  # noqa: PLR0917  # the parts of a line
    name: str,
    unit: str,
    figures: dict[str, float],
    raw: dict[str, list[float]],
    stage: _Stage,
    better: Any = max,
) -> dict[str, Any]:
    ours = figures[OURS.label]
    peers = {label: figure for label, figure in figures.items() if label != OURS.label}
    best = {
        peer: better(figure for label, figure in peers.items() if label.startswith(f"{peer}, "))
        for peer in {label.partition(",")[0] for label in peers}
    }
    return {
        "name": name, "unit": unit, "ours": _digits(ours),
        "peers": {label: _digits(figure) for label, figure in peers.items()},
        "ratio": {peer: _digits(ours / figure if better is max else figure / ours) for peer, figure in sorted(best.items())},
        "rounds": stage.sizes.rounds, "jobs": stage.sizes.jobs,
        "min": {label: _digits(min(each)) for label, each in raw.items()},
        "max": {label: _digits(max(each)) for label, each in raw.items()},
    }  # fmt: skip


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
