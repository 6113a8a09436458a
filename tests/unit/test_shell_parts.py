"""Threads and timers, by themselves."""

from __future__ import annotations

import threading
from datetime import timedelta

import anyio
import pytest

from phaseline._shell.clock import Earliest, Timers
from phaseline._shell.threads import Threads
from phaseline.errors import RuntimeNotOpenError
from phaseline.testing import FakeClock

HOUR = timedelta(hours=1)


async def test_a_thread_that_cannot_be_started_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may be short of threads for a moment: who asks next gets one."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads("test", 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            await threads.run(lambda: 1)
    assert threads.busy == 0
    with anyio.fail_after(10):
        assert await threads.run(lambda: 2) == 2
    threads.close()


@pytest.mark.parametrize("ahead", [0, 1])
async def test_who_waits_for_a_thread_is_before_those_who_come_later(ahead: int) -> None:
    """Also before one who comes the very moment that a thread is free."""
    threads, going_on, order = Threads("test", 1, ahead=ahead), threading.Event(), list[str]()

    async def first() -> None:
        await threads.run(going_on.wait)
        await threads.run(lambda: order.append("later"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await anyio.wait_all_tasks_blocked()
        for _ in range(ahead + 1):
            tasks.start_soon(threads.run, lambda: order.append("waited"))
            await anyio.wait_all_tasks_blocked()
        going_on.set()
    assert order == [*["waited"] * (ahead + 1), "later"]
    assert threads.busy == 0
    threads.close()


async def test_who_waits_for_a_thread_at_the_close_is_refused() -> None:
    """He came behind the end of the threads, and waited for ever; in a shield, so that nobody could cancel him."""
    threads, going_on, refused = Threads("test", 2), threading.Event(), list[RuntimeNotOpenError]()

    async def late() -> None:
        try:
            await threads.run(going_on.wait)
        except RuntimeNotOpenError as error:
            refused.append(error)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(late)
            await anyio.wait_all_tasks_blocked()
            threads.close()
            going_on.set()
    assert len(refused) == 3
    assert threads.busy == 0


async def test_the_end_of_threads_is_waited_for_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a body left in its thread is let go of with it, which may take any time."""
    monkeypatch.setattr("phaseline._shell.threads.END_GRACE", 0.05)
    threads, left, going_on, begun = (
        Threads("test", 1),
        threading.local(),
        threading.Event(),
        threading.Event(),
    )

    class Slow:
        def __del__(self) -> None:
            begun.set()
            assert going_on.wait(20)

    def leave() -> None:
        left.slow = Slow()

    await threads.run(leave)
    threads.close()
    with anyio.fail_after(10):
        await threads.ended()
        assert begun.is_set()
        going_on.set()
        monkeypatch.setattr("phaseline._shell.threads.END_GRACE", 10)
        await threads.ended()
    assert not any(thread.name == "test-1" for thread in threading.enumerate())


async def test_cancelled_timers_are_let_go() -> None:
    """A timer that is far off must not keep all those that were cancelled before it."""
    clock = FakeClock()
    timers, called = Timers(clock), [0]
    kept = [timers.at(clock.now() + HOUR, lambda: None) for _ in range(5)]
    for _ in range(5_000):
        timers.at(clock.now() + 2 * HOUR, lambda: called.append(1)).cancel()
    assert len(timers) <= 2 * len(kept) + 200
    assert called == [0]


async def test_a_timer_that_has_come_can_be_cancelled() -> None:
    """Once, twice, or after its time: nothing is counted wrongly."""
    clock = FakeClock()
    timers, called = Timers(clock), []
    early = timers.at(clock.now(), lambda: called.append("early"))
    timers.at(clock.now() + HOUR, lambda: called.append("late"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        await anyio.wait_all_tasks_blocked()
        for _ in range(500):
            early.cancel()
        assert (len(timers), called) == (1, ["early"])
        tasks.cancel_scope.cancel()


async def test_of_many_moments_the_earliest_has_a_timer() -> None:
    """The others are dropped: who is called finds out what comes next, and may ask for it in the call."""
    clock = FakeClock()
    timers, earliest, called = Timers(clock), Earliest(), list[int]()

    def note() -> None:
        called.append(len(called))
        if len(called) == 1:
            earliest.at(clock.now() + HOUR, timers, note)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(timers.run)
        await anyio.wait_all_tasks_blocked()
        for hours in (3, 1, 2, 1):
            earliest.at(clock.now() + hours * HOUR, timers, note)
        await clock.advance(HOUR)
        assert called == [0]
        await clock.advance(HOUR)
        assert called == [0, 1]
        await clock.advance(5 * HOUR)
        assert called == [0, 1]
        tasks.cancel_scope.cancel()
