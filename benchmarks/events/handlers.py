"""From a commit to a handler: in the same process, and in another one through Redis."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from tests.servers_redis import redis

from benchmarks.events.outcome import EventBenchmarkError, Line, Stage, latency
from benchmarks.events.work import StampedStorage, Ticked, Told, annotated, begun, ticking
from phaseline import Event, Runtime

PATIENCE = 120.0
A_RUN = 500
"""Events that one run emits where they are told as fast as they can be."""


# --------------------------------------------------------------------- how soon
def in_process(stage: Stage) -> Iterator[Line]:
    """From the moment at which a commit is durable to the call of a handler of the same process."""
    storage = StampedStorage(f"sqlite:///{stage.directory / 'in_process.db'}")
    heard = asyncio.run(_heard_here(storage, stage))
    took = [at - storage.stamps[told] for told, at in heard]
    yield latency("events.in_process", took, rate=stage.rate, storage="sqlite")


async def _heard_here(storage: StampedStorage, stage: Stage) -> list[tuple[Told, float]]:
    heard: list[tuple[Told, float]] = []
    async with Runtime(storage, pipelines=[ticking]) as runtime:

        @runtime.bus.subscribe(types=["PIPELINE_ANNOTATED"])
        async def hear(event: Event) -> None:
            heard.append(((event.run_id, event.seq or 0), perf_counter()))

        await annotated(await begun(runtime), stage.samples, stage.rate)
    if len(heard) != stage.samples:
        raise EventBenchmarkError(f"{len(heard)} of {stage.samples} events were heard")
    return heard


def through_redis(stage: Stage) -> Iterator[Line]:
    """The same to a handler of another process."""
    url = f"sqlite:///{stage.directory / 'redis.db'}"
    storage = StampedStorage(url)
    storage.migrate()
    with redis() as server, _listener(url, server.url, stage.samples) as listener:
        asyncio.run(_annotate(storage, server.url, stage))
        took = [at - storage.stamps[told] for told, at in _heard_by(listener)]
    yield latency("events.redis", took, rate=stage.rate, storage="sqlite")


async def _annotate(storage: StampedStorage, transport: str, stage: Stage) -> None:
    async with Runtime(storage, pipelines=[ticking], transport=transport) as runtime:
        await annotated(await begun(runtime), stage.samples, stage.rate)


# --------------------------------------------------------------------- how fast
def throughput(stage: Stage) -> Iterator[Line]:
    """Events a second that one handler hears, of runs that emit 500 each: from the first commit to the last call."""
    yield asyncio.run(_fast_here(stage))
    runs = -(-stage.events // A_RUN)
    url = f"sqlite:///{stage.directory / 'throughput.db'}"
    storage = StampedStorage(url)
    storage.migrate()
    with redis() as server, _listener(url, server.url, runs * A_RUN) as listener:
        asyncio.run(_emit(storage, server.url, runs))
        heard = _heard_by(listener)
    took = max(at for _, at in heard) - min(storage.stamps.values())
    yield Line(
        "events.throughput_redis", "events/s", len(heard) / took, {"events": len(heard), "storage": "sqlite"}
    )


async def _fast_here(stage: Stage) -> Line:
    runs, heard, done = -(-stage.events // A_RUN), 0, asyncio.Event()
    async with Runtime("memory", pipelines=[ticking]) as runtime:

        @runtime.bus.subscribe(types=[Ticked], buffer=2 * runs * A_RUN)
        async def hear(_: Event) -> None:
            nonlocal heard
            heard += 1
            if heard == runs * A_RUN:
                done.set()

        begin = perf_counter()
        for _ in range(runs):
            await runtime.run(ticking, A_RUN)
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        took = perf_counter() - begin
    return Line("events.throughput", "events/s", heard / took, {"events": heard, "storage": "memory"})


async def _emit(storage: StampedStorage, transport: str, runs: int) -> None:
    async with Runtime(storage, pipelines=[ticking], transport=transport) as runtime:
        for _ in range(runs):
            await runtime.run(ticking, A_RUN)


# --------------------------------------------------------------------- the process that listens
@contextmanager
def _listener(storage: str, transport: str, expected: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.events.listener", storage, transport, str(expected)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # a program of ours
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "listening\n":
                raise EventBenchmarkError("the process that listens did not begin")
            yield process
        finally:
            process.kill()


def _heard_by(listener: subprocess.Popen[str]) -> list[tuple[Told, float]]:
    output, _ = listener.communicate(timeout=PATIENCE)
    if listener.returncode != 0:
        raise EventBenchmarkError("the process that listens has not heard everything")
    return [((run_id, seq), at) for (run_id, seq), at in json.loads(output)]
