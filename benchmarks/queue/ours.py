"""phaseline: a run of one phase, through Dramatiq on Redis, on PostgreSQL; the library's defaults."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from benchmarks.queue import tally
from phaseline import Pipeline, Runtime, each, phase
from phaseline.queues.dramatiq import worker_broker


@phase
async def nothing(number: int) -> int:
    """Do nothing."""
    tally.note(number)
    return number


@phase
async def told(sent_at: float) -> float:
    """Tell how long it has waited."""
    tally.note_wait(sent_at)
    return sent_at


@phase
async def count_up(number: int) -> list[int]:
    """Give the items of the map."""
    return list(range(number))


@phase
async def rest(number: int) -> int:
    """Take 100 ms."""
    await asyncio.sleep(0.1)
    return number


no_op, latency = Pipeline("no_op", nothing), Pipeline("latency", told)
wide: Pipeline[int, Any] = Pipeline("wide", count_up >> each(rest))


def make(*, serve: bool) -> Runtime:
    """Put a runtime together, as a worker or as a client."""
    return Runtime(
        os.environ[tally.DATABASE], queue=os.environ[tally.BROKER], pipelines=[no_op, latency, wide], serve=serve,
        concurrency=int(os.environ.get("BENCH_CONCURRENCY", "256")),
    )  # fmt: skip


broker = worker_broker(make(serve=True)) if os.environ.get("BENCH_SERVE") else None


async def fill(jobs: int) -> None:
    """Make the tables, and start as many runs."""
    runtime = make(serve=False)
    await runtime.migrate()
    async with runtime:
        for first in range(1, jobs + 1, 500):
            await asyncio.gather(*(runtime.start(no_op, n) for n in range(first, min(first + 500, jobs + 1))))


async def send_one_by_one(times: int, pause: float) -> None:
    """Start runs on an idle worker."""
    async with make(serve=False) as runtime:
        for _ in range(times):
            await runtime.start(latency, time.time())
            await asyncio.sleep(pause)


async def time_map(items: int, workers: int) -> float:
    """Give the seconds that one map takes, once so many workers are there."""
    async with make(serve=False) as runtime:
        while sum(each.alive for each in (await runtime.health()).workers) < workers:  # noqa: ASYNC110  # others enlist
            await asyncio.sleep(0.1)
        begun = time.perf_counter()
        await (await runtime.start(wide, items)).result()
        return time.perf_counter() - begun
