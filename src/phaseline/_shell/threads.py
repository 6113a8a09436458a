"""Our own daemon threads, counted by us.

Not anyio's: a thread that is abandoned there gives its token back at once and keeps the process alive until it
returns. Here it counts as busy until it returns, and never keeps a process alive.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

import anyio

from phaseline.errors import RuntimeNotOpenError
from phaseline.event_loop import LoopEvent, event_class, loop_post

T = TypeVar("T")

END_GRACE = 1.0
"""Seconds that idle threads have at the close to end: what a body left in a thread is let go of with it."""


class _Job(Generic[T]):
    def __init__(self, fn: Callable[[], T], done: LoopEvent) -> None:
        self.fn = fn
        self.done = done
        self.is_abandoned = False
        self.result: T
        self.error: BaseException | None = None

    def call(self) -> None:
        try:
            self.result = self.fn()
        except BaseException as error:  # noqa: BLE001  # handed to whoever awaits, whatever it is
            self.error = error


class Threads:
    """A few threads that call functions for tasks."""

    def __init__(self, name: str, limit: int, *, ahead: int = 0) -> None:
        """Make them; ``ahead`` is how many calls may be handed over before a thread is free for them."""
        self._name = name
        self._limit = limit
        self._ahead = ahead
        self._post, self._new_event = loop_post(), event_class()
        self._jobs: SimpleQueue[_Job[object] | None] = SimpleQueue()
        self._started: list[threading.Thread] = []
        self._closed = False
        self._waiting: deque[_Job[object]] = deque()
        """Calls that are yet to be handed over, first come first."""
        self.busy: int = 0
        """Calls that have not returned, abandoned ones included."""
        self.abandoned: int = 0
        """Calls among them for which nobody waits any more."""

    async def run(self, fn: Callable[[], T]) -> T:
        """Call ``fn`` in a thread; cancelling this abandons the call, which goes on and still counts."""
        if self._closed:
            raise RuntimeNotOpenError
        context = copy_context()
        if "sniffio" in sys.modules:  # no loop runs in the thread: a body may well call run_sync() there
            context.run(sys.modules["sniffio"].current_async_library_cvar.set, None)
        job = _Job(lambda: context.run(fn), self._new_event())
        queued = cast("_Job[object]", job)  # the queues hold jobs of any type
        if self.busy < self._limit + self._ahead:
            self._hand_over(queued)
        else:
            self._waiting.append(queued)
        try:
            await job.done.wait()
        except BaseException:
            if queued in self._waiting:
                self._waiting.remove(queued)
            elif not job.done.is_set():
                job.is_abandoned = True
                self.abandoned += 1
            raise
        if job.error is not None:
            raise job.error
        return job.result

    def _hand_over(self, job: _Job[object]) -> None:
        """Have a thread call it, the first that is free; there are as many as there are calls, up to the limit."""
        number = len(self._started) + 1
        if number <= min(self.busy + 1, self._limit):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            thread.start()
            self._started.append(thread)  # once it runs: a system that is short of threads may refuse it
        self.busy += 1
        self._jobs.put(job)

    def close(self) -> None:
        """Let the threads end; a busy one ends when its call returns."""
        self._closed = True
        while self._waiting:  # else they would come behind the end of the threads, and be called by none
            job = self._waiting.popleft()
            job.error = RuntimeNotOpenError()
            job.done.set()
        for _ in self._started:
            self._jobs.put(None)

    async def ended(self) -> None:
        """Wait, after ``close``, for the end of all threads but those whose call goes on; within a bound.

        A thread that ends beside its process may bring that down: what C libraries keep for each thread (OpenSSL, below a
        database's driver) is let go of by both at once.
        """
        with anyio.move_on_after(END_GRACE, shield=True):
            while sum(thread.is_alive() for thread in self._started) > self.busy:  # noqa: ASYNC110  # at the close only
                await anyio.sleep(0.001)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.call()
            self._post(partial(self._returned, job))  # where the loop has ended, nobody is left to be told
            del job  # an idle thread keeps no result alive

    def _returned(self, job: _Job[object]) -> None:
        self.busy -= 1
        self.abandoned -= job.is_abandoned
        job.done.set()
        if self._waiting:  # before anybody who comes now; its thread is there
            self._hand_over(self._waiting.popleft())


class OffLoop:
    """Calls what may block: in a thread if there are any for that, else at once, since then nothing blocks."""

    def __init__(self, threads: Threads | None) -> None:
        self._threads = threads

    async def __call__(self, fn: Callable[[], T]) -> T:
        """Call it; cancelling this abandons a call in a thread, as ``Threads.run`` does."""
        return fn() if self._threads is None else await self._threads.run(fn)
