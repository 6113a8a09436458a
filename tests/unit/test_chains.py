"""Tasks for bodies: what must hold however they are made, and however they are begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint

from phaseline._shell.chains import AsyncioCrew, Chain, Crew, Drive, Going, GroupCrew, crew_of
from phaseline._shell.live import Interruption, Job
from phaseline.loops import is_asyncio, new_event

Whole = Callable[[Chain], Going]
Begin = Callable[[Crew, Chain], None]


class Body:
    """Stands for a job: all that a chain and a crew ask of one."""

    def __init__(self) -> None:
        self.seat: anyio.CancelScope | None = None
        self.interrupted: list[Interruption] = []
        self.is_left = False

    @property
    def is_called(self) -> bool:
        """Whether it was not interrupted yet."""
        return not self.interrupted

    def interrupt(self, why: Interruption) -> None:
        """Note it."""
        self.interrupted.append(why)


def chain() -> Chain:
    """Make a chain; it ends where its job is taken from it."""
    return Chain(cast("Job", Body()))  # a real one would need a run


def driven(whole: Whole) -> Drive:
    """Carry a chain out by a function that takes care of its seat, and do nothing after it."""

    async def seated(chain: Chain, _: anyio.CancelScope) -> None:
        await whole(chain)
        chain.job = None

    return Drive(whole, seated, _nothing)


@pytest.fixture(params=["start", "start_now"])
def begin(request: pytest.FixtureRequest) -> Begin:
    """How the crew is told to begin."""
    return lambda crew, chain: getattr(crew, request.param)(chain)


async def ready(crew: Crew) -> Crew:
    """Have a crew whose task in readiness had its first turn."""
    await anyio.wait_all_tasks_blocked()
    return crew


# --------------------------------------------------------------------- however they are begun
async def test_asyncio_gets_tasks_of_its_own_and_trio_those_of_the_group() -> None:
    """The cheap way is taken where it exists."""
    async with anyio.create_task_group() as group:
        crew = crew_of(group, driven(_nothing))
        group.cancel_scope.cancel()
    assert (AsyncioCrew if is_asyncio() else GroupCrew) is type(crew)


@pytest.mark.parametrize("waits", [False, True])
async def test_what_a_chain_raises_the_group_raises(begin: Begin, waits: bool) -> None:
    """A mistake of ours ends the runtime and is not lost in a task that nobody awaits."""

    async def drive(_: Chain) -> None:
        if waits:
            await checkpoint()
        raise LookupError

    with pytest.raises(ExceptionGroup) as caught:  # the group is what raises
        async with anyio.create_task_group() as group:
            begin(await ready(crew_of(group, driven(drive))), chain())
    assert [LookupError] == [type(error) for error in caught.value.exceptions]


async def test_a_chain_outside_of_a_body_ends_with_the_group(begin: Begin) -> None:
    """One that waits for a commit which will never come does not keep the group."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            begin(await ready(crew_of(group, driven(_wait_for_ever))), chain())
            await checkpoint()
            group.cancel_scope.cancel()


@pytest.mark.parametrize("turns", [0, 1])
async def test_the_group_may_end_before_a_chain_had_a_turn(begin: Begin, turns: int) -> None:
    """Whatever has begun by then ends in its own way, and nothing is left of the crew."""
    begun, ended = list[int](), list[int]()

    async def drive(_: Chain) -> None:
        begun.append(1)
        try:
            await _wait_for_ever(_)
        finally:
            ended.append(1)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            begin(await ready(crew_of(group, driven(drive))), chain())
            for _ in range(turns):
                await checkpoint()
            group.cancel_scope.cancel()
    assert begun == ended


async def test_a_body_that_shields_its_end_is_given_the_time(begin: Begin) -> None:
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
            begin(await ready(crew_of(group, driven(drive))), chain())
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert [True] == cleaned


async def test_a_chain_that_goes_on_after_its_body_was_cancelled_is_cancelled_too(begin: Begin) -> None:
    """A body may swallow its cancellation; what comes after it then waits for nobody."""

    async def drive(chain: Chain) -> None:
        assert chain.job is not None
        with anyio.CancelScope() as chain.job.seat:
            await anyio.sleep_forever()
        chain.job.seat = None
        await _wait_for_ever(chain)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            begin(await ready(crew_of(group, driven(drive))), chain())
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_hosts_task_factory_is_respected(begin: Begin) -> None:
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
        crew = await ready(crew_of(group, driven(drive)))
        before = loop.get_task_factory()
        loop.set_task_factory(factory)
        begin(crew, chain())
        loop.set_task_factory(before)
        await ended.wait()
        group.cancel_scope.cancel()
    assert 1 == len(seen)


mark = ContextVar("mark", default="nobody's")


async def test_what_a_body_notes_in_its_context_is_its_own(begin: Begin) -> None:
    """It has that of who began it, and goes on with its own wherever it has waited."""
    seen: list[str] = []
    ended = new_event()

    async def drive(_: Chain) -> None:
        seen.append(mark.get())
        token = mark.set("the body's")
        await checkpoint()
        seen.append(mark.get())
        await checkpoint()
        mark.reset(token)
        seen.append(mark.get())
        ended.set()

    async with anyio.create_task_group() as group:
        crew = await ready(crew_of(group, driven(drive)))
        mark.set("the caller's")
        begin(crew, chain())
        assert "the caller's" == mark.get()
        mark.set("changed")
        await ended.wait()
        assert "changed" == mark.get()
        group.cancel_scope.cancel()
    assert ["the caller's", "the body's", "the caller's"] == seen


@pytest.mark.parametrize("first", [False, True])
async def test_scopes_of_a_body_hold_across_its_waits(begin: Begin, first: bool) -> None:
    """Those of anyio, whether they are cancelled in the first turn or by their time."""
    left: list[bool] = []
    ended = new_event()

    async def drive(_: Chain) -> None:
        with anyio.move_on_after(0.01) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                if first:
                    scope.cancel()
                await anyio.sleep_forever()
        left.append(scope.cancelled_caught)
        await checkpoint()
        ended.set()

    async with anyio.create_task_group() as group:
        begin(await ready(crew_of(group, driven(drive))), chain())
        with anyio.fail_after(5):
            await ended.wait()
        group.cancel_scope.cancel()
    assert [True] == left


# --------------------------------------------------------------------- at once
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@on_asyncio
async def test_who_does_not_wait_is_done_at_once_and_in_one_task_like_the_others() -> None:
    """No turn is needed, the task is not the caller's, and none is made for it."""
    tasks: list[object] = []

    async def drive(_: Chain) -> None:
        tasks.append(asyncio.current_task())

    async with anyio.create_task_group() as group:
        crew = await ready(crew_of(group, driven(drive)))
        for number in range(3):
            crew.start_now(chain())
            assert number + 1 == len(tasks)
        group.cancel_scope.cancel()
    assert 1 == len(set(tasks))
    assert asyncio.current_task() not in tasks


@on_asyncio
async def test_who_waits_goes_on_in_the_task_that_it_began_in() -> None:
    """And what is begun meanwhile is in another one."""
    tasks: list[tuple[int, object]] = []
    gate = anyio.Event()

    async def drive(_: Chain) -> None:
        tasks.append((1, asyncio.current_task()))
        async with asyncio.timeout(5):
            await gate.wait()
        tasks.append((2, asyncio.current_task()))

    async with anyio.create_task_group() as group:
        crew = await ready(crew_of(group, driven(drive)))
        for _ in range(3):
            crew.start_now(chain())
        await ready(crew)
        crew.start_now(chain())
        gate.set()
        await ready(crew)
        group.cancel_scope.cancel()
    begun, gone_on = ({task for turn, task in tasks if turn == each} for each in (1, 2))
    assert begun == gone_on
    assert 4 == len(begun)


@on_asyncio
async def test_what_a_body_begins_in_its_turn_has_a_task_of_its_own() -> None:
    """It is not carried out in the midst of the body, and the one in readiness stays."""
    order: list[str] = []

    async def drive(chain: Chain) -> None:
        if not order:
            order.append("outer")
            crew.start_now(Chain(chain.job))
            order.append("outer's end")
        else:
            order.append("inner")

    async with anyio.create_task_group() as group:
        crew = await ready(crew_of(group, driven(drive)))
        crew.start_now(chain())
        assert ["outer", "outer's end"] == order
        await ready(crew)
        crew.start_now(chain())
        assert ["outer", "outer's end", "inner", "inner"] == order
        group.cancel_scope.cancel()


@on_asyncio
@pytest.mark.parametrize("how", ["and returns", "and waits", "soon and waits"])
async def test_a_body_that_cancels_its_task_at_once(how: str) -> None:
    """It is cancelled where it waits next, with what it waits for, and interrupted; the next one has another task."""
    met: list[str] = []

    async def inner() -> None:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            met.append("inner")
            raise

    async def drive(chain: Chain) -> None:
        if chain.job is None or not chain.job.is_called:
            return
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        waited_for = asyncio.create_task(inner())
        if how == "soon and waits":
            asyncio.get_running_loop().call_soon(task.cancel)  # before the task gets its turn
        else:
            task.cancel()
        if not waits:
            waited_for.cancel()
            return
        try:
            await waited_for
        except asyncio.CancelledError:
            met.append("body")
            raise

    waits, tasks = how != "and returns", list[asyncio.Task[Any]]()
    broken = chain()
    job = broken.job
    async with anyio.create_task_group() as group:
        crew = await ready(crew_of(group, driven(drive)))
        crew.start_now(broken)
        await ready(crew)
        assert not waits or "body" == met[-1]
        assert "soon and waits" != how or ["inner", "body"] == met
        assert not waits or [Interruption.CANCELLED] == cast("Body", job).interrupted
        assert tasks[0].cancelled()
        crew.start_now(chain())
        await ready(crew)
        assert 2 == len(set(tasks))
        group.cancel_scope.cancel()


@on_asyncio
async def test_a_seat_that_is_cancelled_at_once() -> None:
    """The body is cancelled where it waits next, what is left of the chain is done, and the next one has another seat."""
    seen: list[str] = []

    async def seated(chain: Chain, seat: anyio.CancelScope) -> None:
        seats.append(seat)
        if len(seats) < 3:
            seat.cancel()
        if len(seats) == 2:
            return
        await checkpoint()
        chain.job = None
        seen.append("gone on")

    async def rest(_: Chain) -> None:
        await checkpoint()  # nothing of the cancellation is left
        seen.append("rest")

    seats: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as group:
        crew = await ready(crew_of(group, Drive(_nothing, seated, rest)))
        for _ in range(3):
            crew.start_now(chain())
            await ready(crew)
        group.cancel_scope.cancel()
    assert ["rest", "rest", "gone on", "rest"] == seen
    assert 3 == len(set(map(id, seats)))


async def _nothing(_: Chain) -> None:
    pass


async def _wait_for_ever(_: Chain) -> None:
    await new_event().wait()
