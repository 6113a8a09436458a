"""Runs that go on after an end: retried, done once more, annotated; on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from anyio import to_thread
from tests.counted import called, doubled, listed, world
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Context, CustomEvent, Finish, PhaseState, Pipeline, RunState, Runtime, each, phase
from phaseline.abc import Storage
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    EncodeError,
    PipelineFailedError,
    UnknownPhaseError,
)
from phaseline.events import Emitted, PhaseCompleted
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

__all__ = ["anyio_backend"]
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@phase
async def summed(numbers: list[int], ctx: Context) -> int:
    async def paid() -> int:
        world.calls["paid"] += 1
        return sum(numbers)

    total = await ctx.step("paid", paid)
    called(ctx)
    return total


@phase
def shown(total: int, ctx: Context) -> str:
    called(ctx)
    return f"{total}"


sums = Pipeline("sums", listed >> each(doubled) >> summed >> shown)
EVERY_PHASE = ["listed", "doubled[0]", "doubled[1]", "doubled[2]", "doubled[3]", "summed", "shown"]


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


@pytest.mark.parametrize("broken", EVERY_PHASE)
async def test_a_retry_after_a_failure_anywhere_gives_what_a_run_that_never_failed_gives(
    storage: Callable[[], Storage], clock: FakeClock, broken: str
) -> None:
    """What completed is not called again, what a step stored is not done again, and keys stay."""
    opened = storage()
    async with Runtime(opened, pipelines=[sums], clock=clock) as runtime:
        world.broken.add(broken)
        handle = await runtime.start(sums, 4)
        with pytest.raises(PipelineFailedError):
            await handle.result()
        completed = {p for p, row in (await handle.run()).phases.items() if row.state is PhaseState.COMPLETED}
        before = world.calls.copy()

        world.broken.clear()
        await handle.retry(reason="mended", actor="ada")
        assert await handle.result() == "12"

        run = await handle.run()
        assert run.state == RunState.COMPLETED
        assert run.error is None
        assert all(world.calls[path] == before[path] for path in completed if path in before)
        assert world.calls["paid"] == 1
        assert all(len(set(keys)) == 1 for keys in world.keys.values())
        assert [point.phase for point in run.checkpoints] == ["listed", "doubled", "summed", "shown"]
        retried = [event async for event in handle.events() if event.type == "PIPELINE_RETRIED"]
        assert [event.data for event in retried] == [{"reason": "mended", "actor": "ada", "epoch": 1}]
        await checked(opened)


class Told(CustomEvent):
    """What a body tells."""

    n: int


@BOTH_LOOPS
async def test_a_run_is_the_same_wherever_it_is_read(storage: Callable[[], Storage]) -> None:
    """Followed to its end here, or read from the storage; what bodies emitted is not held on to with it."""

    @phase
    async def tell(n: int, ctx: Context) -> int:
        ctx.emit(Told(n=n))
        return n

    opened, tells = storage(), Pipeline("tells", tell)
    async with Runtime(opened, pipelines=[tells]) as runtime:
        followed = await runtime.run(tells, 1)
        assert followed == await (await runtime.get(followed.id, tells)).run()
        assert not any(isinstance(fact, Emitted) for fact in followed._facts)


@BOTH_LOOPS
async def test_that_a_phase_finished_the_run_stays_in_its_history(storage: Callable[[], Storage]) -> None:
    """Also once the phase was done anew, and the run went on behind it."""
    is_early = True

    @phase(may_finish=True)
    async def look(n: int) -> int:
        if is_early:
            raise Finish(41)
        return n

    opened, looks = storage(), Pipeline("looks", look)
    async with Runtime(opened, pipelines=[looks]) as runtime:
        handle = await runtime.start(looks, 3)
        assert await handle.result() == 41
        is_early = False
        await handle.restart()
        assert await handle.result() == 3
        ends = [event async for event in handle.events() if isinstance(event, PhaseCompleted)]
        assert [event.finishes for event in ends] == [True, None]
        await checked(opened)


@BOTH_LOOPS
async def test_a_restart_does_everything_once_more_under_new_keys(open_runtime: OpenRuntime) -> None:
    """The same input, the same output, and each outside effect may happen once more."""
    async with open_runtime(sums) as runtime:
        handle = await runtime.start(sums, 2)
        other = await runtime.get(handle.id, sums)
        assert await handle.result() == "2"
        await handle.restart()
        assert await other.result() == "2"
        assert await handle.result() == "2"
        assert {path: len(set(keys)) for path, keys in world.keys.items()} == dict.fromkeys(world.keys, 2)
        assert world.calls["paid"] == 2
        run = await handle.run()
        assert {row.generation for row in run.phases.values()} == {1}
        assert (
            run.states[-6:]
            == ("IDLE", "INITIALIZING", "LISTED", "DOUBLED", "SUMMED", "SHOWN", "COMPLETED")[1:]
        )


async def test_a_rerun_does_a_phase_and_what_comes_after_it(open_runtime: OpenRuntime) -> None:
    """What comes before keeps its output; a map goes with all its items."""
    async with open_runtime(sums) as runtime:
        handle = await runtime.start(sums, 2)
        await handle.result()
        await handle.rerun_from("doubled", reason="a new rate")
        assert await handle.result() == "2"
        assert world.calls == {
            "listed": 1, "doubled[0]": 2, "doubled[1]": 2, "summed": 2, "shown": 2, "paid": 2,
        }  # fmt: skip
        told = [event async for event in handle.events() if event.type == "PIPELINE_RESTARTED"]
        assert [(event.phase, event.data["reason"]) for event in told] == [("doubled", "a new rate")]


async def test_a_rerun_names_a_phase_that_there_is(open_runtime: OpenRuntime) -> None:
    """Not an item of a map, not one that has not come up, and nothing that is no text."""
    async with open_runtime(sums) as runtime:
        world.broken.add("listed")
        handle = await runtime.start(sums, 2)
        with pytest.raises(PipelineFailedError):
            await handle.result()
        with pytest.raises(
            UnknownPhaseError, match=r"no phase 'doubled\[0\]' .* one of: listed, doubled"
        ) as caught:
            await handle.rerun_from("doubled[0]")
        assert caught.value.known == ("listed", "doubled", "summed", "shown")
        with pytest.raises(CommandRefusedError, match="'shown' has not come up yet"):
            await handle.rerun_from("shown")
        with pytest.raises(DefinitionError, match="rerun_from needs phase="):
            await runtime.control(handle.id, "rerun_from")
        world.broken.clear()
        await handle.rerun_from("listed")
        assert await handle.result() == "2"


async def test_a_note_is_written_into_the_history_of_any_run(open_runtime: OpenRuntime) -> None:
    """It moves nothing."""
    async with open_runtime(sums) as runtime:
        handle = await runtime.start(sums, 2)
        await handle.result()
        before = await handle.run()
        await handle.annotate("looked at by hand", actor="ada", reason="audit")
        with pytest.raises(EncodeError, match="a note"):
            await handle.annotate("\0")
        after = await handle.run()
        assert (after.state, after.history, after.phases) == (before.state, before.history, before.phases)
        told = [event async for event in handle.events()][-1]
        assert (told.type, told.data) == (
            "PIPELINE_ANNOTATED",
            {"note": "looked at by hand", "reason": "audit", "actor": "ada"},
        )


async def test_a_key_that_went_to_another_run_is_not_taken_back(open_runtime: OpenRuntime) -> None:
    """A run that let go of its key at its end does not go on while another one holds it."""
    async with open_runtime(sums) as runtime:
        world.broken.add("listed")
        first = await runtime.start(sums, 2, key="k", while_open=True)
        with pytest.raises(PipelineFailedError):
            await first.result()
        world.broken.clear()
        world.broken.add("shown")
        second = await runtime.start(sums, 2, key="k", while_open=True)
        with pytest.raises(PipelineFailedError):
            await second.result()
        third = await runtime.start(sums, 3, key="k", while_open=True, delay=HOUR)

        with pytest.raises(CommandRefusedError, match=f"is held by run {third.id}") as caught:
            await first.retry()
        assert (caught.value.command, caught.value.state) == ("retry", "FAILED")
        assert {"fork", "annotate", "discard", "rollback"} == set(caught.value.allowed)

        await third.cancel()
        world.broken.clear()
        await first.retry()
        assert await first.result() == "2"


@BOTH_LOOPS
async def test_another_process_takes_a_run_up_again(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """What the worker knows of the run as it ended is not what it goes on with."""
    async with (
        Runtime(database(), pipelines=[sums], clock=clock) as worker,
        Runtime(database(), pipelines=[sums], clock=clock, serve=False) as operator,
    ):
        world.broken.add("summed")
        handle = await worker.start(sums, 3)
        with pytest.raises(PipelineFailedError):
            await handle.result()
        world.broken.clear()
        await operator.control(handle.id, "retry")
        await clock.advance(SECOND)
        assert await handle.result() == "6"
        asked = await operator.get(handle.id, sums)
        await operator.control(handle.id, "restart")
        await clock.advance(SECOND)
        assert await asked.result() == "6"
        assert world.calls["listed"] == 2
