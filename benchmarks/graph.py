"""What a wide join costs: time per task of one graph of 500 tasks and a join, over that of 50 graphs of 10 and a join.

The same number of tasks is under way on both sides, so that both share commits alike; what differs is the width alone.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.growth.outcome import Growth, digits
from benchmarks.stores import STORAGES, databases
from phaseline import Phase, Pipeline, Runtime, parallel, phase
from phaseline.storage.sql.store import SqlStorage

MEMORY = "memory"
PLACES = (MEMORY, *STORAGES)
WIDE, NARROW = 500, 10
WARM_UP = 3


def measure(storage: str, directory: Path, rounds: int) -> Growth:
    """Measure on one kind of storage, wide and narrow in turn."""
    gc.collect()
    with _url(storage, directory) as url:
        return asyncio.run(_measured(storage, url, rounds))


async def _measured(storage: str, url: str, rounds: int) -> Growth:
    wide, narrow = _joined(WIDE), _joined(NARROW)
    per_task: dict[int, list[float]] = {WIDE: [], NARROW: []}
    async with _runtime(url, wide, narrow) as runtime:
        for number in range(WARM_UP + rounds):
            for pipeline, width in ((wide, WIDE), (narrow, NARROW)):
                begin = perf_counter()
                runs = await asyncio.gather(*(runtime.run(pipeline, 1) for _ in range(WIDE // width)))
                micros = (perf_counter() - begin) / (WIDE + len(runs)) * 1e6
                assert [run.output for run in runs] == [width] * len(runs), "a join lost a value"
                if number >= WARM_UP:
                    per_task[width].append(micros)
    factors = [large / small for large, small in zip(per_task[WIDE], per_task[NARROW], strict=True)]
    details = {
        "widths": [NARROW, WIDE],
        "rounds": rounds,
        "narrow_us": digits(median(per_task[NARROW])),
        "wide_us": digits(median(per_task[WIDE])),
        "all_wide_to_narrow": [digits(factor) for factor in factors],
    }
    return Growth("graph.join", "x per task", median(factors), storage, details)


def _joined(width: int) -> Pipeline[int, int]:
    @phase
    async def total(parts: tuple[int, ...]) -> int:
        return sum(parts)

    return Pipeline(f"join-of-{width}", parallel(*(_same(f"t{number}") for number in range(width))) >> total)


def _same(name: str) -> Phase[int, int]:
    @phase(name=name)
    async def same(number: int) -> int:
        return number

    return same


@asynccontextmanager
async def _runtime(url: str, *pipelines: Pipeline[int, int]) -> AsyncIterator[Runtime]:
    if url != MEMORY:
        SqlStorage(url).migrate()
    async with Runtime(url, pipelines=pipelines) as runtime:
        yield runtime


@contextmanager
def _url(storage: str, directory: Path) -> Iterator[str]:
    if storage == MEMORY:
        yield MEMORY
        return
    with databases(storage, directory) as made, made.fresh("graph") as url:
        yield url
