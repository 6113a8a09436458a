"""A handler of events, and what waits for it."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol

import anyio
import attrs

from phaseline.event_filter import Interest
from phaseline.event_loop import Post, is_meant_for_us, loop_post
from phaseline.events import Event

log: Final = logging.getLogger("phaseline.bus")

Handler = Callable[[Event], object] | Callable[[Event], Awaitable[object]]


@attrs.frozen(kw_only=True)
class SubscriptionStats:
    """How a subscription is, at the moment at which it was asked."""

    handler: str
    """Name of the function."""
    interest: Interest
    """What it wants to hear."""
    own: bool
    """Whether it hears of commits of this process alone."""
    buffer: int
    """How many events may wait."""
    waiting: int
    """Events that wait for the handler."""
    handled: int
    """Events that its handler has returned from."""
    dropped: int
    """Events lost because the handler lagged by more than the buffer."""
    failed: int
    """Events at which the handler raised."""


class HandlerThreads(Protocol):
    """Runs sync handlers off the event loop."""

    async def run(self, fn: Callable[[], object]) -> object:
        """Call ``fn`` in a thread."""
        ...


@attrs.define(eq=False)
class Subscription:
    """One handler and what waits for it. A handler that lags loses the oldest events, never delays a run."""

    handler: Handler
    """What is called with each event."""
    interest: Interest
    """Which events it is called with."""
    own: bool
    """Whether it hears of commits of this process alone."""
    buffer: int
    """How many events may wait."""
    handled: int = 0
    """Events that its handler has returned from."""
    dropped: int = 0
    """Events lost because the handler lagged by more than the buffer."""
    failed: int = 0
    """Events at which the handler raised."""
    _leave: Callable[[Subscription], object] | None = attrs.field(default=None, alias="leave")
    _waiting: deque[Event] = attrs.field(factory=deque[Event])
    _wake: anyio.Event | None = None
    _handling: bool = False
    _cancelled: bool = False
    _post: Post | None = None

    def offer(self, events: Sequence[Event]) -> None:
        """Keep for the handler what it is to hear of a batch."""
        for event in events:
            if self.interest.wants(event):
                self.put(event)

    def put(self, event: Event) -> None:
        """Keep an event for the handler."""
        if len(self._waiting) >= self.buffer:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)
        if self._wake is not None:
            self._wake.set()

    def cancel(self) -> None:
        """Hear no more; may be called from the handler itself, and from any thread."""
        if self._leave is not None:
            self._leave(self)
        self._cancelled = True
        self._waiting.clear()
        if self._post is not None:  # where its loop has ended, so has the pump
            self._post(self._wake_pump)

    def _wake_pump(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def pump(self, threads: HandlerThreads) -> None:
        """Hand events to the handler, one after another, until cancelled."""
        self._post = loop_post()
        while not self._cancelled:
            self._wake = anyio.Event()
            if not self._waiting:
                await self._wake.wait()
            while self._waiting:
                await self._handle(self._waiting.popleft(), threads)

    async def _handle(self, event: Event, threads: HandlerThreads) -> None:
        self._handling = True
        try:
            called = (
                self.handler(event)
                if self._is_async
                else await threads.run(partial(_call_in_thread, self.handler, event))
            )
            if inspect.isawaitable(called):
                await called
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a handler raises ends nobody else
            if is_meant_for_us(error):
                raise
            self.failed += 1
            log.exception(
                "a handler raised at %s of run %s; the run is not affected",
                event.type,
                event.run_id,
                extra={"run_id": event.run_id},
            )
        else:
            self.handled += 1
        finally:
            self._handling = False

    @property
    def _is_async(self) -> bool:
        """Whether a call of the handler only makes a coroutine, and so needs no thread."""
        call = getattr(type(self.handler), "__call__", None)  # noqa: B004  # the method itself is wanted
        return inspect.iscoroutinefunction(self.handler) or inspect.iscoroutinefunction(call)

    @property
    def waiting(self) -> int:
        """Events that wait for the handler."""
        return len(self._waiting)

    def stats(self) -> SubscriptionStats:
        """Say how it is."""
        name = getattr(self.handler, "__qualname__", None) or type(self.handler).__qualname__
        return SubscriptionStats(
            handler=name, interest=self.interest, own=self.own, buffer=self.buffer, waiting=self.waiting,
            handled=self.handled, dropped=self.dropped, failed=self.failed,
        )  # fmt: skip

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for the handler."""
        return not (self._waiting or self._handling)


def _call_in_thread(handler: Handler, event: Event) -> object:
    try:
        return handler(event)
    except KeyboardInterrupt as error:  # Ctrl-C reaches no thread: it is the handler's own
        msg = "a handler raised KeyboardInterrupt in a thread"
        raise RuntimeError(msg) from error
