"""Tasks for bodies: what must hold however they are made."""

from __future__ import annotations

import asyncio
from typing import cast

import anyio
import pytest

from phaseline._shell.chains import AsyncioCrew, Chain, Crew, GroupCrew, crew_of
from phaseline._shell.live import Job
from phaseline.event_loop import is_asyncio, new_event


class Body:
    """Stands for a job: all that a chain asks of one is its seat."""

    def __init__(self) -> None:
        self.seat: anyio.CancelScope | None = None


def chain() -> Chain:
    """Make a chain at whose end nothing follows."""
    return Chain(cast("Job", Body()))  # a real one would need a run


async def test_asyncio_gets_tasks_of_its_own_and_trio_those_of_the_group() -> None:
    """The cheap way is taken where it exists."""
    async with anyio.create_task_group() as group:
        crew = crew_of(group)
        group.cancel_scope.cancel()
    assert (AsyncioCrew if is_asyncio() else GroupCrew) is type(crew)


async def test_what_a_chain_raises_the_group_raises() -> None:
    """A mistake of ours ends the runtime and is not lost in a task that nobody awaits."""

    async def drive(_: Chain) -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError

    with pytest.raises(ExceptionGroup) as caught:  # the group is what raises
        async with anyio.create_task_group() as group:
            crew_of(group).start(drive, chain())
    assert [LookupError] == [type(error) for error in caught.value.exceptions]


def test_it_is_raised_on_a_loop_of_the_hosts_too() -> None:
    """Where nobody has told anyio which loop it is, as the fixtures of these tests do, before a task of it asks."""

    async def drive(_: Chain) -> None:
        await anyio.lowlevel.checkpoint()
        raise LookupError

    async def host() -> None:
        async with asyncio.timeout(5), anyio.create_task_group() as group:
            crew_of(group).start(drive, chain())

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(host())
    assert [LookupError] == [type(error) for error in caught.value.exceptions]


async def test_a_chain_outside_of_a_body_ends_with_the_group() -> None:
    """One that waits for a commit which will never come does not keep the group."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            crew_of(group).start(_wait_for_ever, chain())
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()


async def test_a_body_that_shields_its_end_is_given_the_time() -> None:
    """What a body cleans up behind a shield is cleaned up, although the group is cancelled."""
    cleaned: list[bool] = []

    async def drive(chain: Chain) -> None:
        assert chain.job is not None
        with anyio.CancelScope() as chain.job.seat:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.12)
                    cleaned.append(True)
        chain.job.seat = None

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            crew_of(group).start(drive, chain())
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert [True] == cleaned


async def test_a_chain_that_goes_on_after_its_body_was_cancelled_is_cancelled_too() -> None:
    """A body may swallow its cancellation; what comes after it then waits for nobody."""

    async def drive(chain: Chain) -> None:
        assert chain.job is not None
        with anyio.CancelScope() as chain.job.seat:
            await anyio.sleep_forever()
        chain.job.seat = None
        await _wait_for_ever(chain)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            crew_of(group).start(drive, chain())
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_hosts_task_factory_is_respected() -> None:
    """Who traces tasks by a factory sees those of bodies too."""
    seen: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coro: object, **rest: object) -> asyncio.Task[None]:
        seen.append(getattr(coro, "__qualname__", ""))
        return asyncio.Task(coro, loop=loop, **rest)  # type: ignore[arg-type]  # what a factory is given is a coroutine

    ended = new_event()

    async def drive(_: Chain) -> None:
        ended.set()

    loop = asyncio.get_running_loop()
    async with anyio.create_task_group() as group:
        crew: Crew = crew_of(group)
        before = loop.get_task_factory()
        loop.set_task_factory(factory)
        crew.start(drive, chain())
        loop.set_task_factory(before)
        await ended.wait()
        group.cancel_scope.cancel()
    assert 1 == len(seen)


async def _wait_for_ever(_: Chain) -> None:
    await new_event().wait()
