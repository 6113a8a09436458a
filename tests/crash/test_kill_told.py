"""A worker that tells what it commits is killed; who listens elsewhere is told of everything all the same."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import anyio
import pytest
from tests.crash.told import telling
from tests.servers import Server

from phaseline import Event, Runtime

RUNS = 40
PROGRAM = Path(__file__).with_name("told.py")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_that_a_killed_worker_committed_is_told(tmp_path: Path, redis_server: Server) -> None:
    """Of each run in order, without a gap and without a repeat, whichever processes moved it on."""
    storage = f"sqlite:///{tmp_path / 'runs.db'}"
    heard: dict[str, list[int]] = defaultdict(list)
    ended: set[str] = set()
    async with Runtime(storage, pipelines=[telling], serve=False, transport=redis_server.url) as runtime:

        @runtime.bus.subscribe()
        async def hear(event: Event) -> None:
            if event.seq is not None:
                heard[event.run_id].append(event.seq)
            if event.type == "PIPELINE_COMPLETED":
                ended.add(event.run_id)

        handles = [await runtime.start(telling, number) for number in range(RUNS)]
        with anyio.fail_after(50):
            await killed_after(RUNS // 3, ended, storage, redis_server.url)
            assert len(ended) < RUNS, "nothing was left to do after the kill"
            async with Runtime(storage, pipelines=[telling], transport=redis_server.url):
                for handle in handles:
                    await handle.result()
                while len(ended) < RUNS:  # noqa: ASYNC110  # an event would have to be set at each
                    await anyio.sleep(0.01)
        stored = {handle.id: [event.seq async for event in handle.events()] for handle in handles}

    assert stored == heard


async def killed_after(count: int, ended: set[str], storage: str, transport: str) -> None:
    """Have a worker work until so many ends were heard of, and kill it."""
    command = [sys.executable, str(PROGRAM), storage, transport]
    worker = await anyio.open_process(command, stdout=subprocess.PIPE, stderr=None)
    try:
        while len(ended) < count:  # noqa: ASYNC110  # as above
            await anyio.sleep(0.001)
    finally:
        worker.kill()
        await worker.aclose()
