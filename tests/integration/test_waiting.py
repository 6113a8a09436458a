"""Who waits for a run is told of what is done here, and looks for what is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from phaseline import Pipeline, RunState, Runtime, phase
from phaseline._shell import waiting
from phaseline.bus import EventBus
from phaseline.storage.sql.store import SqlStorage
from phaseline.watches import Watch


@phase
async def double(n: int) -> int:
    return 2 * n


@phase(queue="elsewhere")
async def negate(n: int) -> int:
    return -n


here = Pipeline("here", double)
onward = Pipeline("onward", double >> negate)


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be found by a later look."""
    monkeypatch.setattr(waiting, "POLL", 3600)
    monkeypatch.setattr(waiting, "SLOW_POLL", 3600)


async def test_what_is_done_here_is_not_looked_for(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage is not asked how a run stands that this process carries forward."""
    asked: list[str] = []
    monkeypatch.setattr(waiting, "FIRST_POLL", 0)
    monkeypatch.setattr(SqlStorage, "head", lambda _storage, _namespace, run_id: asked.append(run_id))
    async with Runtime(database(), pipelines=[here]) as runtime:
        for number in range(20):
            assert 2 * number == (await runtime.run(here, number)).output
    assert [] == asked


async def test_what_goes_on_elsewhere_is_looked_for_at_once(database: Callable[[], SqlStorage]) -> None:
    """A run that leaves this process says so to who waits for it here."""
    async with (
        Runtime(database(), pipelines=[onward], queues={"elsewhere"}),
        Runtime(database(), pipelines=[onward], queues={"pipeline"}) as first,
    ):
        with anyio.fail_after(20):
            assert (await first.run(onward, 3)).output == -6


async def test_who_was_not_told_looks_again(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it came about that nobody told it: all who wait look again together, now and then."""
    monkeypatch.setattr(waiting, "POLL", 0.05)
    monkeypatch.setattr(waiting, "SLOW_POLL", 0.05)
    monkeypatch.setattr(Watch, "tell", lambda _watch, _events: None)
    monkeypatch.setattr(EventBus, "wake", lambda _bus, _run_id: None)
    async with Runtime(database(), pipelines=[here]) as runtime:
        with anyio.fail_after(20):
            assert (await runtime.run(here, 4)).output == 8


@pytest.mark.parametrize("first", ["pause", "wait"])
async def test_a_pause_that_another_process_commands_is_seen_while_a_body_goes_on(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """By who waits in the process that calls the body, whichever comes first: the pause, or the wait for it."""
    monkeypatch.setattr(waiting, "POLL", 0.05)
    monkeypatch.setattr(waiting, "SLOW_POLL", 0.05)
    begun, may_end = anyio.Event(), anyio.Event()

    @phase
    async def slow(n: int) -> int:
        begun.set()
        await may_end.wait()
        return n

    slowly = Pipeline("slowly", slow >> double)
    async with (
        Runtime(database(), pipelines=[slowly]) as worker,
        Runtime(database(), pipelines=[slowly], serve=False) as operator,
    ):
        handle = await worker.start(slowly, 2)
        with anyio.fail_after(20):
            await begun.wait()
            if first == "pause":
                await (await operator.get(handle.id)).pause()
                assert (await handle.wait()).state == RunState.PAUSED
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(handle.wait)
                    await anyio.sleep(0.2)
                    await (await operator.get(handle.id)).pause()
            assert (await handle.run()).state == RunState.PAUSED
            await (await operator.get(handle.id)).resume()
            may_end.set()
            assert await handle.result() == 4
