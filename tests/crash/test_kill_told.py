"""A worker that tells what it commits is killed; who listens elsewhere is told of everything all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import anyio
import pytest
import redis
from tests.crash.told import telling
from tests.servers import Server

from phaseline import Event, Runtime

RUNS = 40
UNTOLD = 5
"""Ends of runs that are stored and not told when the worker is killed; it may have told some more before Redis stood still."""
PROGRAM = Path(__file__).with_name("told.py")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_that_a_killed_worker_committed_is_told(
    tmp_path: Path, redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each run in order, without a gap and without a repeat, whichever processes moved it on.

    Redis takes nothing any more before the kill: what the worker committed last, ends of runs among it, is sent by nobody.
    """
    monkeypatch.setattr("phaseline._shell.relay.AUDIT", 0.2)
    storage = f"sqlite:///{tmp_path / 'runs.db'}"
    heard: dict[str, list[int]] = defaultdict(list)
    ended: set[str] = set()
    client = redis.Redis.from_url(redis_server.url)
    async with Runtime(storage, pipelines=[telling], serve=False, transport=redis_server.url) as runtime:

        @runtime.bus.subscribe()
        async def hear(event: Event) -> None:
            if event.seq is not None:
                heard[event.run_id].append(event.seq)
            if event.type == "PIPELINE_COMPLETED":
                ended.add(event.run_id)

        async def completed() -> int:
            return (await runtime.find().count()).get("COMPLETED", 0)

        handles = [await runtime.start(telling, number) for number in range(RUNS)]
        for handle in handles:
            await handle.annotate("of which something was told")  # others nobody here would know of
        command = [sys.executable, str(PROGRAM), storage, redis_server.url]
        with anyio.fail_after(50):
            worker = await anyio.open_process(command, stdout=subprocess.PIPE, stderr=None)
            try:
                while len(ended) < RUNS // 4:  # noqa: ASYNC110  # an event would have to be set at each
                    await anyio.sleep(0.001)
                await anyio.to_thread.run_sync(lambda: client.client_pause(60_000, all=False))
                # Of what is stored these are told by nobody, or this has no end. What looks for such ends may find them, and tell
                # them, before the process has been killed: on a busy machine that takes longer.
                while await completed() < len(ended) + UNTOLD:  # noqa: ASYNC110  # nothing tells
                    await anyio.sleep(0.001)
            finally:
                worker.kill()
                await worker.aclose()
            assert worker.returncode == -signal.SIGKILL
            assert await completed() < RUNS, "nothing was left to do after the kill"
            async with Runtime(storage, pipelines=[telling], transport=redis_server.url):
                for handle in handles:
                    await handle.result()
                await anyio.to_thread.run_sync(client.client_unpause)
                while len(ended) < RUNS:  # noqa: ASYNC110  # as above
                    await anyio.sleep(0.01)
        stored = {handle.id: [event.seq async for event in handle.events()] for handle in handles}
    client.close()

    assert stored == heard
