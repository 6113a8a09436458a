"""What a process knows of runs that it is done with: it is let go of, and is not taken for what they are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio
import pytest

from phaseline import Pipeline, RunHandle, Runtime, Signal, phase
from phaseline.abc import Storage
from phaseline.errors import (
    RuntimeNotOpenError,
    StorageUnavailableError,
    UnknownPhaseError,
    UnknownSignalError,
)
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import FakeClock

HOUR = timedelta(hours=1)
UNKNOWN = Signal[int]("unknown")
Opened = Callable[[], Storage]


@phase
async def double(number: int) -> int:
    return 2 * number


doubled = Pipeline("doubled", double)


async def until(reached: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not reached():  # noqa: ASYNC110  # nobody is told
            await anyio.sleep(0.001)


@pytest.mark.parametrize("known", ["got", "annotated", "seen"])
async def test_a_handle_on_what_had_ended_waits_for_what_it_is_by_now(storage: Opened, known: str) -> None:
    """Another runtime has taken it up since: its old end was given, while its state said otherwise."""
    begun, going_on = list[int](), anyio.Event()

    @phase
    async def picky(number: int) -> int:
        begun.append(number)
        if len(begun) == 1:
            raise ValueError(number)
        await going_on.wait()
        return number

    pipeline = Pipeline("picky", picky)
    async with (
        Runtime(storage(), pipelines=[pipeline]) as there,
        Runtime(storage(), pipelines=[pipeline], serve=False) as here,
    ):
        worked_on = await there.start(pipeline, 1)
        assert (await worked_on.wait()).state == "FAILED"
        handle = await here.get(worked_on.id, pipeline)
        if known != "got":
            handle = RunHandle[int](here, worked_on.id, None)  # as of a start in a transaction
            await (handle.annotate("looked at") if known == "annotated" else handle.state())
        await worked_on.retry()
        with anyio.fail_after(20):
            while len(begun) < 2:  # noqa: ASYNC110  # another runtime takes it up
                await anyio.sleep(0.01)
            with anyio.move_on_after(0.1) as waited:
                await handle.wait()
            assert waited.cancelled_caught
            going_on.set()
            assert await handle.result() == 1


async def refused_commands(handle: RunHandle[int]) -> None:
    with pytest.raises(UnknownSignalError):
        await handle.signal(UNKNOWN, 1)
    with pytest.raises(UnknownPhaseError):
        await handle.rerun_from("nowhere")


async def test_of_a_run_whose_command_is_refused_nothing_is_kept(storage: Opened) -> None:
    """Whoever may send signals could have made a process grow."""
    async with Runtime(storage(), pipelines=[doubled], serve=False) as runtime:
        handle = await runtime.start(doubled, 1, delay=HOUR)
        kept = set(runtime.runner.live)  # in memory what waits is kept for a while
        await refused_commands(handle)
        assert set(runtime.runner.live) <= kept
    async with Runtime(storage(), pipelines=[doubled]) as runtime:
        ended = await runtime.start(doubled, 2)
        assert await ended.result() == 4
        await until(lambda: ended.id not in runtime.runner.live)
        await refused_commands(ended)
        assert ended.id not in runtime.runner.live


async def test_of_a_start_that_is_not_stored_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing sweeps it would have stayed."""
    memory = MemoryStorage()

    def refuse(*_: object) -> None:
        raise StorageUnavailableError(repr(memory), "it is full", "wait")

    async with Runtime(memory, pipelines=[doubled]) as runtime:
        monkeypatch.setattr(memory, "commit", refuse)
        with pytest.raises(StorageUnavailableError):
            await runtime.start(doubled, 1)
        assert not runtime.runner.live


async def test_of_a_run_that_another_runtime_has_purged_nothing_is_kept() -> None:
    """Also where it is heard of only once the run is gone."""
    memory = MemoryStorage()
    async with (
        Runtime(memory, pipelines=[doubled]) as here,
        Runtime(memory, pipelines=[doubled], serve=False) as there,
    ):
        handle = await here.start(doubled, 1, delay=HOUR)
        assert handle.id in here.runner.live
        await there.control(handle.id, "cancel")
        assert await there.purge(older_than=timedelta(0))
        await until(lambda: handle.id not in here.runner.live)


@pytest.mark.parametrize("verb", ["cancel", "start"])
async def test_who_still_reads_when_the_runtime_closes_is_told_so(
    database: Opened, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """What he would commit then is refused as everything is after the close: he got an AttributeError."""
    told: list[Exception] = []

    async def late(ask: Callable[[], Awaitable[object]]) -> None:
        try:
            await ask()
        except Exception as error:  # noqa: BLE001  # looked at
            told.append(error)

    async with anyio.create_task_group() as tasks:  # noqa: SIM117  # it outlasts the runtime
        async with Runtime(database(), pipelines=[doubled], namespace_open_runs=100) as runtime:
            handle = await runtime.start(doubled, 1, delay=HOUR)
            runtime.runner.live.clear()
            asked = {
                "cancel": ("load", handle.cancel),
                "start": ("open_runs", lambda: runtime.start(doubled, 2)),
            }
            name, ask = asked[verb]
            real = getattr(runtime.runner.storage, name)

            def slow(*given: object) -> object:
                found = real(*given)
                time.sleep(1.5)  # longer than the close waits
                return found

            monkeypatch.setattr(runtime.runner.storage, name, slow)
            tasks.start_soon(late, ask)
            await anyio.sleep(0.1)
    assert [RuntimeNotOpenError] == [type(error) for error in told]


async def test_a_schedule_of_another_runtime_on_the_same_memory_is_fired(clock: FakeClock) -> None:
    """It is looked for as often as others' are in a database."""
    memory = MemoryStorage()
    async with (
        Runtime(memory, pipelines=[doubled], clock=clock) as serving,
        Runtime(memory, pipelines=[doubled], clock=clock, serve=False) as client,
    ):
        await client.schedules.put("often", doubled, input=1, every=timedelta(minutes=1))
        for _ in range(3):
            await clock.advance(timedelta(minutes=1))
        assert await serving.find().count() == {"COMPLETED": 3}
