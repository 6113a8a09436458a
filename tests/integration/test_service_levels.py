"""Service levels on every storage: it is told once what is not over in time, whoever has it and whoever looks."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from anyio import to_thread
from prometheus_client import CollectorRegistry
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Again, Context, Event, Pipeline, RunState, Runtime, Signal, phase, prometheus
from phaseline.events import SlaBreached
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)
GO = Signal[int]("go")


@phase(sla=10 * SECOND)
async def look(number: int, ctx: Context) -> int:
    if ctx.attempt < 3:
        raise Again(after=8 * SECOND)
    return number


@phase
async def accept(number: int) -> int:
    return number


asking = Pipeline("asking", accept.wait_for(GO), sla=20 * SECOND)
looking = Pipeline("looking", look)


def heard_by(runtime: Runtime) -> list[SlaBreached]:
    """What is told on its bus."""
    heard: list[SlaBreached] = []

    async def hear(event: Event) -> None:
        assert isinstance(event, SlaBreached)
        heard.append(event)

    runtime.bus.subscribe(hear, types=[SlaBreached])
    return heard


@BOTH_LOOPS
async def test_what_sleeps_is_told_of_when_it_is_late(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A phase between two calls, and a run that waits for a signal; at its moment, once, and they go on."""
    async with open_runtime(asking, looking) as runtime:
        heard = heard_by(runtime)
        phase_handle, run_handle = await runtime.start(looking, 1), await runtime.start(asking, 2)
        await clock.advance(9.999 * SECOND)
        assert heard == []
        await clock.advance(0.001 * SECOND)
        start = clock.now() - 10 * SECOND
        assert [(event.phase, event.state, event.sla_at) for event in heard] == [
            ("look", "RETRYING", start + 10 * SECOND)
        ]
        await clock.advance(10 * SECOND)
        assert [(event.run_id, event.phase, event.state) for event in heard[1:]] == [
            (run_handle.id, None, "WAIT_FOR_GO")
        ]
        await run_handle.signal(GO, 3)
        run = await run_handle.wait()
        assert (run.state, run.sla_at) == (RunState.COMPLETED, start + 20 * SECOND)
        late = (await phase_handle.wait()).phases["look"]
        assert (late.attempt, late.sla_at) == (3, start + 10 * SECOND)
        stored = [event async for event in run_handle.events() if isinstance(event, SlaBreached)]
        assert stored == heard[1:]
        assert run.breached == stored[0].seq
        assert len(heard) == 2
        await to_thread.run_sync(check, runtime.runner.storage)


async def test_what_nobody_takes_up_is_told_of(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A phase that waits in a queue that is not served here; with a figure for it."""
    elsewhere = Pipeline("elsewhere", accept.with_options(queue="elsewhere", sla=SECOND))
    registry = CollectorRegistry()
    runtime = open_runtime(elsewhere, looking, queues=["pipeline"])
    prometheus.instrument(runtime, registry=registry)
    async with runtime:
        heard = heard_by(runtime)
        handle = await runtime.start(elsewhere, 1)
        await clock.advance(SECOND)
        assert [(event.phase, event.state) for event in heard] == [("accept", "PENDING")]
        assert await handle.state() == RunState.IDLE
        figure = registry.get_sample_value(
            "phaseline_sla_breaches_total", {"pipeline": "elsewhere", "phase": "accept"}
        )
        assert figure == 1


@pytest.mark.parametrize(
    "storage", ["sqlite", "postgres"], indirect=True
)  # those that several processes share
async def test_two_that_look_at_once_tell_it_once(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Both find it, and one of them writes it."""
    many = 20
    async with open_runtime(looking) as one, open_runtime(looking) as other:
        handles = [await one.start(looking, number, delay=SECOND) for number in range(many)]
        heard = [heard_by(runtime) for runtime in (one, other)]
        await clock.advance(30 * SECOND)
        for handle in handles:
            await handle.wait()
        counts = [
            len([event async for event in handle.events() if isinstance(event, SlaBreached)])
            for handle in handles
        ]
        assert counts == [1] * many
        assert sum(map(len, heard)) == many
        await to_thread.run_sync(check, one.runner.storage)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_without_a_runtime_it_is_told_with_the_end() -> None:
    """Of a line that is driven without tasks."""

    @phase(sla=timedelta(milliseconds=1))
    async def slow(number: int) -> int:
        await anyio.sleep(0.005)
        return number

    run = await Pipeline("slow", slow, sla=timedelta(milliseconds=1)).run(1)
    assert run.phases["slow"].breached is not None
    assert run.breached is not None
