"""What phaseline asks of the event loop itself, and not of anyio, whose detours would cost as much as a phase."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Protocol, cast

import anyio
from anyio.lowlevel import EventLoopToken, current_token


class LoopEvent(Protocol):
    """Something to wait for, of the event loop that runs here."""

    def set(self) -> object:
        """Let everybody who waits go on."""
        ...

    def is_set(self) -> bool:
        """Whether nobody has to wait any more."""
        ...

    async def wait(self) -> object:
        """Wait until it is set."""
        ...


class _AsyncioLoop(Protocol):
    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object: ...


class _TrioToken(Protocol):
    def run_sync_soon(self, callback: Callable[[], object], /) -> object: ...


Post = Callable[[Callable[[], object]], bool]
"""Have a function called on the event loop, soon, from any thread; gives whether there still is one."""


class _LoneEvent:
    """An event of asyncio for one task that waits: asyncio's own, for any number of them, costs several times as much."""

    __slots__ = ("_future", "_is_set")

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._is_set = False

    def set(self) -> None:
        self._is_set = True
        future = self._future
        if future is not None and not future.done():  # who waited may have been cancelled
            future.set_result(None)

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self) -> None:
        if not self._is_set:
            self._future = asyncio.get_running_loop().create_future()
            await self._future


def new_event() -> LoopEvent:
    """Make an event that is not set, for which one task at a time may wait."""
    return event_class()()


def event_class() -> Callable[[], LoopEvent]:
    """Give what ``new_event`` makes on the event loop that runs here, for who makes many of them."""
    return _LoneEvent if is_asyncio() else anyio.Event


def shared_event_class() -> Callable[[], LoopEvent]:
    """Give what makes events for which any number of tasks may wait; on asyncio its own, which costs a tenth of anyio's."""
    return asyncio.Event if is_asyncio() else anyio.Event


def is_asyncio() -> bool:
    """Whether the caller is a task of asyncio; one of trio may have an asyncio loop around it, but is no task there."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no loop of asyncio runs here
        return False


def scope_class() -> type[anyio.CancelScope]:
    """Give the class of which cancel scopes are on the event loop that runs here: anyio looks for the loop with each of them."""
    return type(anyio.CancelScope())


def is_known() -> bool:
    """Whether anyio knows the event loop that runs here; beside sniffio it knows asyncio by its tasks, not in its callbacks."""
    try:
        current_token()
    except RuntimeError:  # anyio's NoEventLoopError
        return False
    return True


def loop_here() -> object | None:
    """Give the event loop that runs in this thread, as ``native_token`` of a token does; None where none does."""
    try:
        return current_token().native_token if is_known() else asyncio.get_running_loop()
    except RuntimeError:  # there is none of asyncio's either
        return None


def knowing_context() -> Context:
    """Copy the context of the task that runs here, so that anyio knows its event loop also in a callback of that."""
    context, sniffio = copy_context(), sys.modules.get("sniffio")
    if sniffio is not None:  # anyio asks it, where it is installed
        context.run(sniffio.current_async_library_cvar.set, sniffio.current_async_library())
    return context


def library_here() -> Callable[[], object]:
    """Give what tells a context that the event loop which runs here is the one of its tasks: it may be copied from another one's."""
    sniffio = sys.modules.get("sniffio")
    return (
        object
        if sniffio is None
        else partial(sniffio.current_async_library_cvar.set, sniffio.current_async_library())
    )


def is_here(loop: EventLoopToken) -> bool:
    """Whether the caller runs on this event loop; to be asked with each run, for no token is made to compare it with."""
    if is_asyncio():
        return asyncio.get_running_loop() is loop.native_token
    return current_token() == loop


def is_meant_for_us(error: BaseException) -> bool:
    """Whether an exception cancels the task that runs here; code of users may also meet the end of a task it awaits."""
    if not isinstance(error, anyio.get_cancelled_exc_class()):
        return False
    if anyio.current_effective_deadline() == -math.inf:
        return True
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return task is None or task.cancelling() > 0  # trio cancels by scopes alone


def loop_post() -> Post:
    """Give the function by which other threads reach the event loop that runs here; once that has ended nothing is called."""
    native = current_token().native_token
    reach = (
        cast("_TrioToken", native).run_sync_soon  # anyio types the token as object
        if hasattr(native, "run_sync_soon")
        else cast("_AsyncioLoop", native).call_soon_threadsafe  # as above
    )

    def post(callback: Callable[[], object]) -> bool:
        try:
            reach(callback)
        except RuntimeError:  # the loop has ended: also trio.RunFinishedError is one
            return False
        return True

    return post
