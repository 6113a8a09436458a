"""Start-to-end latency of a short run, with no other run in the tables and with very many that have ended."""

from __future__ import annotations

from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter

import attrs

from benchmarks.growth.filling import fill
from benchmarks.growth.outcome import Growth, Stage, digits
from phaseline import Pipeline, Runtime, phase
from phaseline.storage.sql.store import SqlStorage

TURNS, RUNS_A_TURN = 10, 20
WARM_UP = 20


@attrs.define
class Subject:
    """One database, and the latencies measured on it."""

    runtime: Runtime
    pipeline: Pipeline[int, int]
    opening_ms: float = 0.0
    latencies: list[float] = attrs.field(factory=list)

    async def turn(self, runs: int) -> list[float]:
        """Make some runs, one after another; gives their milliseconds."""
        return [await self._one() for _ in range(runs)]

    async def _one(self) -> float:
        begin = perf_counter()
        await self.runtime.run(self.pipeline, 1)
        return (perf_counter() - begin) * 1e3

    def p50(self) -> float:
        """Half of the runs took no longer, in milliseconds."""
        return median(self.latencies)


async def start(stage: Stage) -> Growth:
    """Measure one-phase runs, one at a time, in turns on an empty and on a full database."""
    finished = stage.sizes.finished
    with stage.databases.fresh("empty") as empty, stage.databases.fresh("full") as full:
        for url in (empty, full):
            await _seed(url)
        seconds = fill(full, finished)
        async with AsyncExitStack() as stack:
            subjects = [await _opened(stack, url) for url in (empty, full)]
            for _ in range(TURNS):
                for subject in subjects:
                    subject.latencies += await subject.turn(RUNS_A_TURN)
    none, many = subjects
    details = {
        "runs": TURNS * RUNS_A_TURN,
        "finished": [0, finished],
        "p50_ms": [digits(none.p50()), digits(many.p50())],
        "p95_ms": [digits(sorted(each.latencies)[len(each.latencies) * 95 // 100]) for each in subjects],
        "opening_ms": [digits(each.opening_ms) for each in subjects],
        "filling_s": digits(seconds),
    }
    return Growth("growth.start", "x latency", many.p50() / none.p50(), stage.storage, details)


def _pipeline() -> Pipeline[int, int]:
    @phase
    async def only(number: int) -> int:
        return number

    return Pipeline("start", only)


async def _seed(url: str) -> None:
    """Leave one finished run, for the many to be made of."""
    pipeline = _pipeline()
    SqlStorage(url).migrate()
    async with Runtime(url, pipelines=[pipeline]) as runtime:
        await runtime.run(pipeline, 1)


async def _opened(stack: AsyncExitStack, url: str) -> Subject:
    pipeline = _pipeline()
    subject = Subject(Runtime(url, pipelines=[pipeline]), pipeline)
    begin = perf_counter()
    await stack.enter_async_context(subject.runtime)
    subject.opening_ms = (perf_counter() - begin) * 1e3
    await subject.turn(WARM_UP)
    return subject
