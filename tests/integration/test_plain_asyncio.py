"""Hosts that begin their event loop by themselves, as uvicorn and ``asyncio.run`` do: beside sniffio, anyio knows it by its tasks alone."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

BEGINNING = """
import asyncio, logging, time
import sniffio
from phaseline import Event, Pipeline, Runtime, phase
from phaseline.errors import RunningLoopError
from phaseline.scraper import Scraper
from phaseline.storage.memory import MemoryStorage

logging.basicConfig(level=logging.WARNING)

@phase
async def brew(cups: int) -> int:
    return cups

brewing = Pipeline("brewing", brew)
runtime = Runtime(MemoryStorage(), pipelines=[brewing])

async def in_callback(fn):
    called = asyncio.get_running_loop().create_future()
    def call():
        try:
            called.set_result(fn())
        except Exception as error:
            called.set_exception(error)
    asyncio.get_running_loop().call_soon(call)
    return await called

async def main():
    assert sniffio.current_async_library_cvar.get() is None
    async with runtime:
        await asyncio.wait_for(check(), 20)
    print("as it should be")
"""
READ = """
async def check():
    figures = await asyncio.to_thread(Scraper(runtime).figures)
    assert figures and all(each.samples() for each in figures)
"""
READ_IN_CALLBACK = """
async def check():
    scraper, begun = Scraper(runtime), time.monotonic()
    assert not await in_callback(scraper.figures)
    assert time.monotonic() - begun < 1
    while not await in_callback(scraper.figures):
        await asyncio.sleep(0.01)
"""
SUBSCRIBED_IN_CALLBACK = """
async def check():
    heard = []
    async def hear(event: Event) -> None:
        heard.append(event.type)
    await in_callback(lambda: runtime.bus.subscribe(hear))
    await runtime.run(brewing, 2)
    while "PIPELINE_COMPLETED" not in heard:
        await asyncio.sleep(0.01)
"""
RUN_IN_CALLBACK = """
async def check():
    try:
        await in_callback(lambda: brewing.run_sync(2))
    except RunningLoopError:
        return
    raise AssertionError
"""


@pytest.mark.parametrize(
    "check",
    [READ, READ_IN_CALLBACK, SUBSCRIBED_IN_CALLBACK, RUN_IN_CALLBACK],
    ids=["read", "read-in-callback", "subscribed-in-callback", "run-in-callback"],
)
def test_what_is_begun_in_a_callback_of_the_loop(check: str) -> None:
    """Figures come, handlers hear, and nobody waits on the loop for what it is to do itself."""
    assert find_spec("sniffio") is not None, "without it anyio knows every loop, and nothing is tried here"
    program = f"{BEGINNING}\n{check}\nasyncio.run(main())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=False
    )
    assert ("as it should be\n", "") == (done.stdout, done.stderr)
