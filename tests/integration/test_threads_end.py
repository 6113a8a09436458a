"""No thread of a runtime's outlives it: one that ends beside its process may bring that down (OpenSSL's, say)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from anyio import to_thread
from tests.servers import Server

from phaseline import Event, Pipeline, Runtime, phase
from phaseline.abc import Storage


@phase
def measured(value: int) -> int:
    """In a thread."""
    return value + 1


measuring = Pipeline("measuring", measured)


def ours() -> set[threading.Thread]:
    """The threads of phaseline's that run now."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("phaseline-")}


async def test_every_thread_has_ended_when_a_runtime_is_closed(storage: Callable[[], Storage]) -> None:
    """Those for bodies, handlers, storage, leases and nudges, though none of them was waited for before."""
    before, heard = ours(), list[Event]()
    async with Runtime(storage(), pipelines=[measuring]) as runtime:
        runtime.bus.subscribe(heard.append)
        assert await (await runtime.start(measuring, 1)).result() == 2
        assert {"phaseline-body-1", "phaseline-bus-1"} <= {thread.name for thread in ours() - before}
    assert heard
    assert ours() <= before


async def test_nor_does_one_that_carries_events(
    sqlite_storage: Callable[[], Storage], redis_server: Server
) -> None:
    """Whoever reads waits for the next entry when the end comes."""
    before = ours()
    async with Runtime(sqlite_storage(), pipelines=[measuring], transport=redis_server.url) as runtime:
        assert await (await runtime.start(measuring, 1)).result() == 2
        names = {thread.name for thread in ours() - before}
        assert {"phaseline-events-in", "phaseline-events-out"} <= names
    assert ours() <= before


async def test_one_whose_call_goes_on_is_not_waited_for() -> None:
    """Nobody may say when it returns."""
    before, stuck, going_on = ours(), threading.Event(), threading.Event()

    @phase(timeout=timedelta(seconds=0.05))
    def wait(value: int) -> int:
        stuck.set()
        assert going_on.wait(20)
        return value

    try:
        async with Runtime(pipelines=[waiting := Pipeline("waiting", wait)]) as runtime:
            await (await runtime.start(waiting, 1)).wait()
        assert stuck.is_set()
        (left,) = ours() - before
    finally:
        going_on.set()
    await to_thread.run_sync(left.join, 20)
    assert not left.is_alive()
