"""Runs that are taken back to a checkpoint, and go on from there; on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest
from anyio import to_thread
from tests.counted import called, doubled, listed, summed, world
from tests.opening import OpenRuntime

from phaseline import Context, PhaseState, Pipeline, RunHandle, RunState, Runtime, each, phase
from phaseline.abc import Storage
from phaseline.errors import (
    CommandRefusedError,
    DecodeError,
    EncodeError,
    PipelineRolledBackError,
    RunNotFoundError,
    UnknownCheckpointError,
)
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

BOUND = 10.0
SECOND = timedelta(seconds=1)


@phase
async def shown(total: int, ctx: Context) -> str:
    called(ctx)
    return f"{total}"


@phase
async def held(total: int, ctx: Context) -> int:
    called(ctx)
    world.begun.set()
    try:
        await world.open.wait()
    except anyio.get_cancelled_exc_class():
        world.stopped.set()
        raise
    return total


sums = Pipeline("sums", listed >> each(doubled) >> summed >> shown)
holding = Pipeline("holding", listed >> each(doubled) >> summed >> held >> shown)
PLACES = [None, "listed", "doubled", "summed"]


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


async def told(handle: RunHandle[object], type_: str) -> list[tuple[str | None, object, object]]:
    """Give what the events of one kind say."""
    found = [event async for event in handle.events() if event.type == type_]
    return [(event.phase, event.data["reason"], event.data["actor"]) for event in found]


@pytest.mark.parametrize("to", PLACES)
async def test_a_run_that_was_taken_back_and_goes_on_gives_the_same_output(
    storage: Callable[[], Storage], clock: FakeClock, to: str | None
) -> None:
    """What was kept is not called again, what was undone is, under keys of its own."""
    opened = storage()
    async with Runtime(opened, pipelines=[sums], clock=clock) as runtime:
        handle = await runtime.start(sums, 3)
        assert await handle.result() == "6"
        await handle.rollback(to, reason="a wrong rate", actor="ada")
        with pytest.raises(PipelineRolledBackError) as caught:
            await handle.result()
        kept = PLACES[1 : PLACES.index(to) + 1]
        assert [point.phase for point in await handle.checkpoints()] == kept
        assert [path for path in caught.value.run.phases if "[" not in path] == kept
        assert all(row.state is PhaseState.COMPLETED for row in caught.value.run.phases.values())
        await checked(opened)

        await handle.resume()
        assert await handle.result() == "6"
        run = await handle.run()
        undone = {path: 0 if path.partition("[")[0] in kept else 1 for path in run.phases}
        assert {path: row.generation for path, row in run.phases.items()} == undone
        assert all(world.calls[path] == 1 + again for path, again in undone.items() if path != "doubled")
        assert all(len(set(keys)) == len(keys) for keys in world.keys.values())
        assert run.states[6:9] == ("COMPLETED", "ROLLED_BACK", "IDLE")
        assert await told(handle, "PIPELINE_ROLLED_BACK") == [(to, "a wrong rate", "ada")]
        await checked(opened)


async def test_a_rollback_ends_what_runs_in_its_own_commit(open_runtime: OpenRuntime) -> None:
    """A running phase is fenced off first; the run goes through PAUSED to ROLLED_BACK at once."""
    async with open_runtime(holding) as runtime:
        handle = await runtime.start(holding, 3)
        with anyio.fail_after(BOUND):
            await world.begun.wait()
            (point,) = [point for point in await handle.checkpoints() if point.phase == "doubled"]
            await handle.rollback(point.id)
            await world.stopped.wait()
        run = await handle.run()
        assert run.states[-3:] == ("HELD", "PAUSED", "ROLLED_BACK")
        assert list(run.phases) == ["listed", "doubled", "doubled[0]", "doubled[1]", "doubled[2]"]

        world.open.set()
        await handle.resume()
        assert await handle.result() == "6"
        assert world.calls["summed"] == 2
        keys = {path: len(set(keys)) for path, keys in world.keys.items()}
        assert (keys["summed"], keys["held"]) == (2, 2)  # what held takes was made anew
        assert (await handle.run()).states[-8:-5] == ("PAUSED", "ROLLED_BACK", "IDLE")


async def test_a_phase_that_was_not_committed_keeps_its_key(open_runtime: OpenRuntime) -> None:
    """Nothing of it is undone: an outside effect that bears its key must not happen twice."""
    async with open_runtime(holding) as runtime:
        handle = await runtime.start(holding, 3)
        with anyio.fail_after(BOUND):
            await world.begun.wait()
        await handle.rollback("summed")
        world.open.set()
        await handle.resume()
        assert await handle.result() == "6"
        assert world.calls["held"] == 2
        assert len(set(world.keys["held"])) == 1


async def test_a_place_that_the_run_has_not_is_told(open_runtime: OpenRuntime) -> None:
    """A phase that there is not, a checkpoint of another run, one that is gone, and no text at all."""
    async with open_runtime(sums) as runtime:
        handle, other = await runtime.start(sums, 2), await runtime.start(sums, 2)
        await handle.result()
        await other.result()
        ids = [point.id for point in await handle.checkpoints()]
        with pytest.raises(UnknownCheckpointError, match=r"'nothing': it never had it") as caught:
            await handle.rollback("nothing")
        assert caught.value.checkpoints == tuple(ids)
        assert caught.value.phases == ("listed", "doubled", "summed", "shown")
        foreign = (await other.checkpoints())[0].id
        with pytest.raises(UnknownCheckpointError, match=f"one of run {other.id}"):
            await handle.rollback(foreign)
        with pytest.raises(UnknownCheckpointError):
            await handle.rollback("doubled[0]")
        with pytest.raises(CommandRefusedError, match="nothing comes after phase 'shown'"):
            await handle.rollback("shown")
        with pytest.raises(EncodeError, match="reason of rollback"):
            await handle.rollback("listed", reason="\0")
        assert (await handle.run()).state == RunState.COMPLETED

        await runtime.control(handle.id, "rollback", to="listed")
        with pytest.raises(CommandRefusedError, match="is ROLLED_BACK, where rollback is not possible"):
            await handle.rollback()
        await handle.resume()
        await handle.result()
        with pytest.raises(UnknownCheckpointError, match="taken back to before it"):
            await handle.rollback(ids[1])
        later = await runtime.start(sums, 2, delay=SECOND)
        with pytest.raises(CommandRefusedError, match="'shown' is not committed"):
            await later.rollback("shown")


async def test_another_process_takes_a_run_back(database: Callable[[], Storage], clock: FakeClock) -> None:
    """The worker that carries the run learns of it by its next look, and goes on from there after the resume."""
    async with (
        Runtime(database(), pipelines=[holding], clock=clock) as worker,
        Runtime(database(), pipelines=[holding], clock=clock, serve=False) as operator,
    ):
        handle = await worker.start(holding, 3)
        with anyio.fail_after(BOUND):
            await world.begun.wait()
        asked = await operator.get(handle.id, holding)
        await asked.rollback("listed")
        await clock.advance(SECOND)
        with anyio.fail_after(BOUND):
            await world.stopped.wait()
        world.open.set()
        await asked.resume()
        await clock.advance(SECOND)
        assert await handle.result() == "6"
        assert await asked.result() == "6"
        assert world.calls["listed"] == 1
        assert world.calls["summed"] == 2
        await checked(operator.runner.storage)


async def test_checkpoints_of_a_run_whose_output_is_of_another_type_now(open_runtime: OpenRuntime) -> None:
    """They are told all the same: somebody may want to take it back to one of them."""

    async def of_another_type(total: int) -> list[int]:
        return [total]

    changed = Pipeline("sums", listed >> each(doubled) >> summed >> phase(name="shown")(of_another_type))
    async with open_runtime(sums) as runtime:
        handle = await runtime.start(sums, 3)
        await handle.result()
        before = (await handle.run()).checkpoints
        assert await handle.checkpoints() == before
    async with open_runtime(changed) as runtime:
        again = await runtime.get(handle.id)
        with pytest.raises(DecodeError):
            await again.run()
        assert await again.checkpoints() == before


async def test_checkpoints_of_a_run_that_was_purged(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """There is no such run any more, and that is told."""
    async with open_runtime(sums) as runtime:
        handle = await runtime.start(sums, 3)
        await handle.result()
        await clock.advance(SECOND)
        assert 1 == await runtime.purge(older_than=timedelta(0))
        with pytest.raises(RunNotFoundError):
            await handle.checkpoints()
