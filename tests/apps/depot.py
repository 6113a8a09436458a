"""An application for many workers: a map, a diamond, and a journal of what its bodies did. Told by the environment."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from tests.crash.journal import Journal

from phaseline import Context, Dep, Pipeline, Runtime, each, parallel, phase
from phaseline.queues.dramatiq import worker_broker
from phaseline.storage.sql.store import SqlStorage

JOURNAL: Dep[Journal] = Dep("journal")
PAUSE = 0.02
"""Seconds that a body takes, so that faults strike in its midst."""
LEASE = timedelta(seconds=3)


@phase
async def receive(number: int, ctx: Context) -> list[int]:
    with ctx.dep(JOURNAL).noted(ctx):
        await anyio.sleep(PAUSE)
        return [number, number + 1, number + 2]


@phase
async def weigh(item: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        await anyio.sleep(PAUSE)
        return item * 10


@phase
async def least(weights: list[int], ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        await anyio.sleep(PAUSE)
        return min(weights)


@phase
def most(weights: list[int], ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return max(weights)


@phase
async def settle(bounds: tuple[int, int], ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return bounds[0] + bounds[1]


orders: Pipeline[int, Any] = Pipeline("orders", receive >> each(weigh) >> parallel(least, most) >> settle)


@phase
async def count_up(number: int) -> list[int]:
    return list(range(number))


@phase
async def where(_: int) -> int:
    await anyio.sleep(0.2)  # long enough for a worker that has to wait for its turn on a busy machine
    return os.getpid()


wide: Pipeline[int, Any] = Pipeline("wide", count_up >> each(where))
"""One map, whose items tell which process they were done in."""


def output_of(number: int) -> int:
    """What the order of this number comes to."""
    return 20 * number + 20


def make(storage: SqlStorage, queue: str, journal: Path, *, serve: bool) -> Runtime:
    """Put a runtime together, as a worker or as a client."""
    return Runtime(
        storage, pipelines=[orders, wide], queue=queue, deps={JOURNAL: Journal(journal)}, lease=LEASE, serve=serve, concurrency=16,
    )  # fmt: skip


if "DEPOT_STORAGE" in os.environ:
    broker = worker_broker(
        make(
            SqlStorage(os.environ["DEPOT_STORAGE"]),
            os.environ["DEPOT_BROKER"],
            Path(os.environ["DEPOT_JOURNAL"]),
            serve=True,
        )
    )
