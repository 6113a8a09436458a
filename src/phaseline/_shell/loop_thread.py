"""A thread with an event loop on which something is open, for the threads of a host that has no loop."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Literal, Protocol, TypeVar, runtime_checkable

import anyio
from anyio.from_thread import BlockingPortal

from phaseline.errors import RuntimeNotOpenError, RuntimeUsageError
from phaseline.loops import loop_post

log: Final = logging.getLogger("phaseline.runtime")
T = TypeVar("T")
Backend = Literal["asyncio", "trio"]
"""Which event loop there is in the thread."""


@asynccontextmanager
async def _closed_in_the_end(items: AsyncIterator[T]) -> AsyncGenerator[AsyncIterator[T]]:
    try:
        yield items
    finally:
        if isinstance(items, _Closable):
            await items.aclose()


@runtime_checkable
class _Closable(Protocol):
    """A generator, or a stream of events; other iterators have nothing to close."""

    async def aclose(self) -> None: ...


class LoopThread:
    """Enters an async context in a thread of its own, calls functions there, and leaves it in the end.

    A daemon: a host that forgets to close it ends all the same, and one that closes it by ``atexit`` still finds it there.
    """

    def __init__(self, opened: AbstractAsyncContextManager[Any], backend: Backend) -> None:
        self._context, self._backend = opened, backend
        self._pid = os.getpid()
        self._opened: Future[BlockingPortal] = Future()
        self._closing: anyio.Event | None = None
        self._is_given_up = False
        self._failure: BaseException | None = None
        """What opening, or closing, raised."""
        self._thread = threading.Thread(target=self._work, name="phaseline-loop", daemon=True)

    def open(self) -> None:
        """Begin, and wait until the context is entered; raises what that raises."""
        self._thread.start()
        try:
            self._opened.result()
        except BaseException:
            if self._opened.done():  # with an error
                self._thread.join()
            else:  # whoever waits here was interrupted, and does not wait for what he no longer wants
                self._is_given_up = True
                self._begin_to_close()
            raise

    def close(self) -> None:
        """Leave the context, and wait for the end of the thread; raises what leaving raises.

        What is called meanwhile is still carried out, for what ends in order may need it.
        """
        if self._pid != os.getpid():
            return
        self._begin_to_close()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _begin_to_close(self) -> None:
        if self._closing is not None:  # else it is not open yet, and looks whether it was given up once it is
            with suppress(RuntimeError):  # it ends by itself, as where a task of it failed
                self._portal().start_task_soon(self._closing.set)

    def _work(self) -> None:
        try:
            anyio.run(self._stay_open, backend=self._backend)
        except BaseException as error:  # noqa: BLE001  # for who waits in another thread
            self._fail(error)

    async def _stay_open(self) -> None:
        async with BlockingPortal() as portal:
            try:
                async with self._context:
                    self._closing = anyio.Event()
                    self._opened.set_result(portal)
                    if not self._is_given_up:
                        await self._closing.wait()
            except Exception as error:  # noqa: BLE001  # else the portal wraps it
                self._fail(error)
            await portal.stop(cancel_remaining=True)

    def _fail(self, error: BaseException) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        log.error(
            "the thread of %r ends with an error", self._context, exc_info=error
        )  # nobody may ask for it
        self._failure = error

    # ------------------------------------------------------------------ what other threads ask
    def call(self, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any) -> T:
        """Call a function on the loop and wait for what it comes to; an interrupt of the wait cancels it.

        Raises:
            RuntimeNotOpenError: It was closed.
            RuntimeUsageError: This process is a fork of the one that has the thread.
        """
        return self._wait(self._begin(partial(function, *args, **kwargs)))

    def walk(self, items: AsyncIterable[T]) -> Generator[T]:
        """Walk through what is given on the loop, item by item as it is asked for; leaving it off closes it there.

        Raises:
            RuntimeNotOpenError, RuntimeUsageError: As ``call``.
        """
        given: SimpleQueue[tuple[T, Callable[[], object]] | None] = SimpleQueue()
        is_left = False

        async def hand_out() -> None:
            # One task from the first item to the last: a cancel scope within a generator cannot go from task to task.
            taken, post = anyio.Semaphore(0), loop_post()
            try:
                async with _closed_in_the_end(aiter(items)) as each:
                    async for item in each:
                        given.put((item, partial(post, taken.release)))
                        await taken.acquire()
                        if is_left:
                            break
            finally:
                given.put(None)

        task = self._begin(hand_out)
        go_on: Callable[[], object] = task.cancel
        try:
            while (found := given.get()) is not None:
                item, go_on = found
                is_left = True
                yield item
                is_left = False
                go_on()
            self._wait(task)
        finally:
            # At an item it ends in order, as nothing is under way; else what is waited for is cancelled.
            (go_on if is_left else task.cancel)()

    def _begin(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        portal = self._portal()
        try:
            return portal.start_task_soon(function)
        except RuntimeError as error:  # it was stopped
            raise RuntimeNotOpenError from self._failure or error

    def _portal(self) -> BlockingPortal:
        if self._pid != os.getpid():
            msg = (
                f"{self._context!r} lives in process {self._pid}, of which this one is a fork: the thread with its event loop "
                "is not here; open a runtime in each process, after it was forked"
            )
            raise RuntimeUsageError(msg)
        return self._opened.result()

    def _wait(self, task: Future[T]) -> T:
        try:
            return task.result()
        except BaseException as error:
            if task.cancelled():  # by the end of the thread: nobody else has it
                raise RuntimeNotOpenError from self._failure or error
            task.cancel()
            raise
