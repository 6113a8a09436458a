"""Runs that others moved on: what the storage says of them counts, and not what this process remembers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import anyio
import pytest

from phaseline import Context, Pipeline, Runtime, parallel, phase
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.usage import Budget, Usage

SECOND = timedelta(seconds=1)
MakeStorage = Callable[[], SqlStorage]


async def serve(runtime: Runtime, clock: FakeClock) -> None:
    """Have a worker look for work, without a sweep, in which others would forget runs that rest."""
    runtime.wake()
    await clock.settle()


@phase(queue="here")
async def first(number: int) -> int:
    return number


@phase(queue="there")
async def second(number: int) -> int:
    return number


async def test_a_phase_lost_elsewhere_is_given_back_by_who_works_on_its_run(
    database: MakeStorage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knew of the run what was before the lost phase began saw nothing to give back, as long as his own body went on."""
    done, over = anyio.Event(), anyio.Event()

    @phase(queue="here")
    async def long(number: int) -> int:
        await done.wait()
        return number

    @phase(queue="there")
    async def lost(number: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            await over.wait()
        return number

    pipeline = Pipeline("side-by-side", parallel(long, lost))
    async with (
        Runtime(database(), pipelines=[pipeline], queues=["here"], clock=clock) as here,
        Runtime(database(), pipelines=[pipeline], queues=["there"], clock=clock) as there,
    ):
        handle = await here.start(pipeline, 1)
        await clock.advance(SECOND)
        assert (await handle.run()).phases["lost"].worker == there.runner.worker_id
        monkeypatch.setattr(there.runner, "renew", list)  # it stands still, and neither lives nor looks
        monkeypatch.setattr(there.runner.storage, "lost", lambda *_: [])
        await clock.advance(2 * there.runner.options.lease)
        crashes = (await handle.run()).phases["lost"].crashes
        over.set()
        done.set()
    assert crashes == 1


async def test_a_wait_that_began_elsewhere_ends(database: MakeStorage, clock: FakeClock) -> None:
    """Also where who worked on the run before saw its last phase only."""
    pipeline = Pipeline("waiting", (first >> second).sleep_for(SECOND / 2))
    async with Runtime(database(), pipelines=[pipeline], queues=["here"], clock=clock) as here:
        async with Runtime(database(), pipelines=[pipeline], queues=["there"], clock=clock) as there:
            handle = await here.start(pipeline, 1)
            await clock.settle()
            await serve(there, clock)
            assert (await handle.run()).phases["second"].state == "COMPLETED"
        assert handle.id in here.runner.live
        await clock.advance(2 * SECOND)
        assert await handle.state() == "COMPLETED"


async def test_what_others_let_go_of_their_reservations_is_free(
    database: MakeStorage, clock: FakeClock
) -> None:
    """A reservation was refused, for good, by what was reserved when this process last read the run."""
    reserved, seen, let_go = anyio.Event(), anyio.Event(), anyio.Event()

    def cost(number: int) -> Usage:
        return Usage(cost=Decimal(number))

    @phase(queue="here")
    async def late(number: int, ctx: Context) -> int:
        await reserved.wait()
        await ctx.reserve("first", cost(1))
        ctx.spend("first", cost(1))
        await ctx.step("read", lambda: 1)
        seen.set()
        await let_go.wait()
        await ctx.reserve("mine", cost(5))
        return number

    @phase(queue="there")
    async def early(number: int, ctx: Context) -> int:
        await ctx.reserve("much", cost(8))
        reserved.set()
        await seen.wait()
        ctx.spend("much", cost(1))
        return number

    pipeline = Pipeline("budgeted", parallel(late, early), budget=Budget(cost=Decimal(10)))
    async with (
        Runtime(database(), pipelines=[pipeline], queues=["here"], clock=clock) as here,
        Runtime(database(), pipelines=[pipeline], queues=["there"], clock=clock) as there,
    ):
        handle = await here.start(pipeline, 1)
        await clock.settle()
        await serve(there, clock)
        assert (await handle.run()).phases["early"].state == "COMPLETED"
        let_go.set()
        run = await handle.wait()
        assert (run.state, run.usage.cost) == ("COMPLETED", 2)
