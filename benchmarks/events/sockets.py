"""From a commit to WebSockets: one process serves, another one has the clients."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

from benchmarks.events.outcome import EventBenchmarkError, Line, Stage, digits, latency
from benchmarks.events.socket_server import most_connections, resident, served, tell

CLIENTS, IDLE = 1_000, 10_000
ROUNDS = 10
WARMING = 100
"""Events before it counts."""
SETTLE = 0.5
"""Seconds in which the last event arrives."""
MILLI, NANO = 1e3, 1e-9
KIB = 1_024


def own_runs(stage: Stage) -> Iterator[Line]:
    """From the call that commits an event to the one client that hears it: each of 1 000 hears a run of its own."""
    took = asyncio.run(_own_runs(stage))
    yield latency("events.websocket", took, target_ms=50, clients=CLIENTS, rate=stage.rate, storage="memory")


async def _own_runs(stage: Stage) -> list[float]:
    loop = asyncio.get_running_loop()
    async with served() as here:
        handles = await here.runs(CLIENTS)
        async with here.clients(handles) as clients:
            for handle in handles[:WARMING]:
                await tell(handle)
            await asyncio.sleep(SETTLE)
            await clients.delays()
            begun = loop.time()
            for number in range(stage.samples):
                await asyncio.sleep(begun + number / stage.rate - loop.time())
                await tell(handles[number % len(handles)])
            await asyncio.sleep(SETTLE)
            delays = await clients.delays()
    if len(delays) != stage.samples:
        raise EventBenchmarkError(f"{len(delays)} of {stage.samples} events were heard")
    return [delay * NANO for delay in delays]


def to_all(stage: Stage) -> Iterator[Line]:  # noqa: ARG001  # its size is given
    """From the call that commits one event to the last of 1 000 clients that hear it: the median of ten, and the worst."""
    last = sorted(asyncio.run(_to_all()))
    details = {"worst_ms": digits(last[-1] * MILLI), "target_ms": 500, "clients": CLIENTS, "rounds": ROUNDS}
    yield Line(
        "events.websocket_all",
        "ms to the last client",
        last[ROUNDS // 2] * MILLI,
        {**details, "storage": "memory"},
    )


async def _to_all() -> list[float]:
    last: list[float] = []
    async with served() as here:
        handles = await here.runs(1)
        async with here.clients(handles * CLIENTS) as clients:
            for _ in range(ROUNDS + 1):
                await tell(handles[0])
                last.append(max(await clients.all_of(CLIENTS)) * NANO)
    return last[1:]  # the first one warms


def idle(stage: Stage) -> Iterator[Line]:  # noqa: ARG001  # its size is given
    """Clients that one process holds while nothing happens, and its memory for each; then each of them hears an event."""
    limit = most_connections()
    count = min(IDLE, limit)
    each, last = asyncio.run(_idle(count))
    details = {
        "kib_each": digits(each / KIB),
        "last_of_one_event_ms": digits(last * MILLI),
        "descriptor_limit": limit,
    }
    yield Line(
        "events.websocket_idle",
        "clients in one process",
        count,
        {**details, "target": IDLE, "storage": "memory"},
    )


async def _idle(count: int) -> tuple[float, float]:
    async with served() as here:
        handles = await here.runs(1)
        async with here.clients(handles):
            pass  # what is imported and made once is no client's
        gc.collect()
        before = resident()
        async with here.clients(handles * count) as clients:
            gc.collect()
            each = (resident() - before) / count
            await tell(handles[0])
            last = max(await clients.all_of(count)) * NANO
    return each, last
