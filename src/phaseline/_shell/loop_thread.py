"""A thread with an event loop on which something is open, for the threads of a host that has no loop."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, runtime_checkable

import anyio
from anyio.abc import TaskGroup

from phaseline.errors import RuntimeNotOpenError, RuntimeUsageError
from phaseline.event_loop import Post, is_meant_for_us, library_here, loop_post

log: Final = logging.getLogger("phaseline.runtime")
T = TypeVar("T")
Backend = Literal["asyncio", "trio"]
"""Which event loop there is in the thread."""
HEARING: Final = 0.5
"""Seconds after which a wait begins anew. CPython hears of a signal between waits alone where it reached another thread, or this one in the
very moment in which it began to wait: without an end such a wait would outlast any number of interrupts but the next one."""


class LoopThread:
    """Enters an async context in a thread of its own, calls functions there, and leaves it in the end.

    A daemon: a host that forgets to close it ends all the same, and one that closes it by ``atexit`` still finds it there.

    Nobody waits for the loop without a bound: what is called is entered in a list first, and who is on that list when the thread ends
    is told so. (anyio's ``BlockingPortal`` waits for its callback, and one that is posted to a loop about to be closed is dropped.)
    """

    def __init__(self, opened: AbstractAsyncContextManager[Any], backend: Backend) -> None:
        self._context, self._backend = opened, backend
        self._pid = os.getpid()
        self._changing = threading.Lock()
        self._calls: set[_Call[Any]] | None = set()
        """Those that are not over; None once the thread takes no more."""
        self._opened: Future[None] = Future()
        self._is_to_close = False
        self._post: Post | None = None
        self._tell_library: Callable[[], object] = object
        self._tasks: TaskGroup | None = None
        self._closing: anyio.Event | None = None
        self._failure: BaseException | None = None
        """What opening, or closing, raised."""
        self._ended = threading.Event()
        """Asked in place of the thread: one whose ``join`` is interrupted counts as ended from then on (CPython 3.11, bpo-45274)."""
        self._thread = threading.Thread(target=self._work, name="phaseline-loop", daemon=True)

    # ------------------------------------------------------------------ open and close
    def start(self) -> None:
        """Begin to open."""
        self._thread.start()

    def wait_until_open(self) -> None:
        """Wait until the context is entered; raises what that raises."""
        try:
            _result_of(self._opened)
        except Exception:
            self._wait_for_end()
            raise

    def close(self) -> None:
        """Leave the context, and wait for the end of the thread; raises what leaving raises.

        What is called meanwhile is still carried out, for what ends in order may need it.
        """
        self.check_process()
        self.begin_to_close()
        self._wait_for_end()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _wait_for_end(self) -> None:
        while not self._ended.wait(HEARING):
            pass

    def begin_to_close(self) -> None:
        """Have the context be left; while it is being entered, as soon as it is."""
        self._is_to_close = True
        if self._post is not None:
            self._post(self._end)

    def _end(self) -> None:
        if self._closing is not None:
            self._closing.set()

    @property
    def is_alive(self) -> bool:
        """Whether the context is, or may still be, entered."""
        return self._pid == os.getpid() and not self._ended.is_set()

    @property
    def is_here(self) -> bool:
        """Whether it is the thread that asks."""
        return threading.current_thread() is self._thread

    def check_process(self) -> None:
        """Refuse to be used in a fork, which has no such thread.

        Raises:
            RuntimeUsageError: This process is a fork of the one that has the thread.
        """
        if self._pid != os.getpid():
            msg = (
                f"{self._context!r} lives in process {self._pid}, of which this one is a fork: the thread with its event loop "
                "is not here; make and open another one in each process, after it was forked"
            )
            raise RuntimeUsageError(msg)

    def _work(self) -> None:
        try:
            anyio.run(self._stay_open, backend=self._backend)
        except BaseException as error:  # noqa: BLE001  # for who waits in another thread
            self._fail(error)
        finally:
            with self._changing:
                left, self._calls = self._calls or set[_Call[Any]](), None
            for call in left:
                call.future.cancel()
            self._ended.set()

    async def _stay_open(self) -> None:
        self._closing, self._tell_library = anyio.Event(), library_here()
        self._post = loop_post()
        async with anyio.create_task_group() as tasks:
            try:
                async with self._context:
                    self._tasks = tasks
                    self._opened.set_result(None)
                    if not self._is_to_close:
                        await self._closing.wait()
            except Exception as error:  # noqa: BLE001  # else the group wraps it
                self._fail(error)
            self._tasks = None
            tasks.cancel_scope.cancel()

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
        call = _Call(partial(function, *args, **kwargs))
        try:
            self._begin(call)
            return self._result_of(call)
        except BaseException:  # an interrupt at whatever place
            self._give_up(call)
            raise
        finally:
            # It refers to what is raised, which refers to this frame: nobody waits for the collector.
            del call

    def walk(self, items: AsyncIterable[T], may: Callable[[], None]) -> Generator[T]:
        """Walk through what is given on the loop, item by item as it is asked for; leaving it off closes it there.

        Args:
            items: What is walked through.
            may: Refuses a step, by raising, where it would block an event loop.

        Raises:
            RuntimeNotOpenError, RuntimeUsageError: As ``call``.
        """
        walk = _Walk(items)
        call = _Call(walk.hand_out)
        call.future.add_done_callback(lambda _: walk.given.put(None))
        go_on: Callable[[], object] | None = None
        try:
            may()
            self._begin(call)
            while (found := _next_of(walk.given)) is not None:
                item, go_on = found
                yield item
                may()
                self.check_process()
                go_on()
                go_on = None
            self._result_of(call)
        finally:
            if go_on is None:
                self._give_up(call)
            elif self._pid == os.getpid():  # at an item nothing is under way: it ends in order
                walk.is_left = True
                go_on()
            del call  # as above

    def _begin(self, call: _Call[Any]) -> None:
        self.check_process()
        with self._changing:
            if self._calls is None or not self._is_open:
                raise RuntimeNotOpenError from self._failure
            self._calls.add(call)
        assert self._post is not None  # noqa: S101  # it was open
        self._post(lambda: call.context.run(self._spawn, call))

    @property
    def _is_open(self) -> bool:
        return self._opened.done() and self._opened.exception() is None

    def _spawn(self, call: _Call[Any]) -> None:
        if (
            self._tasks is not None and not call.is_given_up
        ):  # else it is told so with all that are left in the end
            self._tell_library()
            call.scope = anyio.CancelScope()
            self._tasks.start_soon(self._carry_out, call, call.scope)

    async def _carry_out(self, call: _Call[Any], scope: anyio.CancelScope) -> None:
        """What it raises is for who has called: in the group it would end everything."""
        future = call.future
        try:
            with scope:
                try:
                    value = await call.function()
                except BaseException as error:
                    if is_meant_for_us(error):
                        raise
                    future.set_exception(error)
                else:
                    future.set_result(value)
        finally:
            if not future.done():
                future.cancel()
            with self._changing:
                if self._calls is not None:
                    self._calls.discard(call)
            del call, future  # as in the thread that has called

    def _result_of(self, call: _Call[T]) -> T:
        try:
            return _result_of(call.future)
        except BaseException as error:
            if call.future.cancelled():  # by the end of the thread: nobody else has it
                raise RuntimeNotOpenError from self._failure or error
            raise
        finally:
            del call  # as above

    def _give_up(self, call: _Call[Any]) -> None:
        if not call.future.done() and self._post is not None and self._pid == os.getpid():
            self._post(call.give_up)


class _Call(Generic[T]):
    """What one thread has another one do."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self.function = function
        self.context = copy_context()
        self.future: Future[T] = Future()
        """Cancelled where it came to no end of its own."""
        self.scope: anyio.CancelScope | None = None
        self.is_given_up = False

    def give_up(self) -> None:
        """Cancel it; on the loop."""
        self.is_given_up = True
        if self.scope is not None:
            self.scope.cancel()


class _Walk:
    """Hands out items from one task, from the first to the last: a cancel scope within a generator cannot go from task to task."""

    def __init__(self, items: AsyncIterable[Any]) -> None:
        self._items = items
        self.given: SimpleQueue[tuple[Any, Callable[[], object]] | None] = SimpleQueue()
        """Each item, with what asks for the next one; None at the end."""
        self.is_left = False

    async def hand_out(self) -> None:
        """Give items until there are no more, or until it is left."""
        taken, post = anyio.Semaphore(0), loop_post()
        async with AsyncExitStack() as stack:
            items: AsyncIterator[Any] = aiter(self._items)
            if isinstance(items, _Closable):
                stack.push_async_callback(items.aclose)
            async for item in items:
                self.given.put((item, partial(post, taken.release)))
                await taken.acquire()
                if self.is_left:
                    break


def _result_of(future: Future[T]) -> T:
    try:
        while True:
            with suppress(TimeoutError):
                return future.result(HEARING)
            if future.done():  # now, or what it came to is such an error
                return future.result()
    finally:
        del future  # as in ``LoopThread.call``


def _next_of(items: SimpleQueue[T]) -> T:
    while True:
        with suppress(Empty):
            return items.get(timeout=HEARING)


@runtime_checkable
class _Closable(Protocol):
    """A generator, or a stream of events; other iterators have nothing to close."""

    async def aclose(self) -> None: ...
