"""A runtime that is served as a host does it, and clients in a process of their own."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import attrs
import uvicorn
from starlette.requests import HTTPConnection

from benchmarks.events.outcome import EventBenchmarkError
from phaseline import Pipeline, Runtime, phase
from phaseline.handle import RunHandle
from phaseline.web import Access, asgi_app

HOST = "127.0.0.1"
LOOK, PATIENCE = 1.0, 60.0
"""Seconds between two looks at what clients heard, which take time from them; and for all of them to hear it."""
SPARE = 500
"""Descriptors beside those of connections."""
PAGE_SIZE = resource.getpagesize()


@phase
async def nothing(number: int) -> int:
    """Do nothing."""
    return number


PIPELINE = Pipeline("benched", nothing)


async def anybody(_: HTTPConnection) -> Access:
    """Let in everybody."""
    return Access("anybody")


@attrs.frozen
class Clients:
    """All clients, subscribed."""

    _process: Process

    async def delays(self) -> list[int]:
        """Nanoseconds from each call that told something to its arrival at a client, since the last time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise EventBenchmarkError("the clients lost a connection; their process has said why")
        return [*map(int, json.loads(line))]

    async def all_of(self, count: int) -> list[int]:
        """The same, once there are so many."""
        heard: list[int] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while len(heard) < count:
                    await asyncio.sleep(LOOK)
                    heard += await self.delays()
        except TimeoutError:
            raise EventBenchmarkError(f"{len(heard)} of {count} clients heard an event") from None
        return heard


@attrs.frozen
class Served:
    """A runtime that is served."""

    runtime: Runtime
    port: int

    async def runs(self, count: int) -> list[RunHandle[int]]:
        """Make runs that have ended."""
        handles = [await self.runtime.start(PIPELINE, number) for number in range(count)]
        for handle in handles:
            await handle.result()
        return handles

    @asynccontextmanager
    async def clients(self, handles: Sequence[RunHandle[int]]) -> AsyncIterator[Clients]:
        """Connect one client for each of these, each subscribed to that run from now on."""
        wishes = [json.dumps({"type": "subscribe", "run": handle.id, "after": 2**53}) for handle in handles]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.events.socket_clients", str(self.port), stdin=PIPE, stdout=PIPE, limit=2**26,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(wishes).encode() + b"\n")
            await process.stdin.drain()
            if await process.stdout.readline() != b"ready\n":
                raise EventBenchmarkError("the clients could not connect; their process has said why")
            yield Clients(process)
        finally:
            process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 20)
            if process.returncode is None:
                process.kill()
                await process.wait()


async def tell(handle: RunHandle[int]) -> None:
    """Commit an event that says when that was asked for: the commit is part of the delay."""
    await handle.annotate(f"sent {time.time_ns()}")


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """Serve a runtime in memory, with uvicorn and nothing else."""
    with socket.create_server((HOST, 0), backlog=2_048) as listening:
        async with Runtime(pipelines=[PIPELINE]) as runtime:
            app = asgi_app(runtime, authorize=anybody, rate=None)
            config = uvicorn.Config(app, lifespan="off", log_level="error", ws_per_message_deflate=False)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001  # not serve(): signals are ours
            while not server.started:  # noqa: ASYNC110  # it has no event for it
                await asyncio.sleep(0.01)
            try:
                yield Served(runtime, listening.getsockname()[1])
            finally:
                server.should_exit = server.force_exit = True
                await serving


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_SIZE


def most_connections() -> int:
    """How many connections this process may have: the descriptor limit, raised as far as it goes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most - SPARE
