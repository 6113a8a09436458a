"""Told after the commit: observers in this process, isolated from runs and from each other."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, Self, overload

import anyio
import attrs
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from phaseline.errors import DefinitionError
from phaseline.events import Event
from phaseline.interest import Interest, Kind, interest
from phaseline.loops import LoopEvent, is_meant_for_us, loop_here, new_event
from phaseline.run import SETTLED_STATES

log: Final = logging.getLogger("phaseline.bus")

Handler = Callable[[Event], object] | Callable[[Event], Awaitable[object]]
DEFAULT_BUFFER = 10_000


class HandlerThreads(Protocol):
    """Runs sync handlers off the event loop."""

    async def run(self, fn: Callable[[], object]) -> object:
        """Call ``fn`` in a thread."""
        ...


@attrs.define(eq=False)
class Subscription:
    """One handler and what waits for it. A handler that lags loses the oldest events, never delays a run."""

    handler: Handler
    interest: Interest
    buffer: int
    handled: int = 0
    dropped: int = 0
    """Events lost because the handler lagged by more than the buffer."""
    failed: int = 0
    """Events at which the handler raised."""
    _bus: EventBus | None = attrs.field(default=None, alias="bus")
    _waiting: deque[Event] = attrs.field(factory=deque[Event])
    _wake: anyio.Event | None = None
    _handling: bool = False
    _cancelled: bool = False
    _token: EventLoopToken | None = None

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
        if self._bus is not None:
            self._bus.remove(self)
        self._cancelled = True
        self._waiting.clear()
        if self._token is not None:
            with suppress(
                Exception
            ):  # RuntimeError, trio.RunFinishedError: its loop has ended, and it with it
                self._end_pump(self._token)

    def _end_pump(self, token: EventLoopToken) -> None:
        if loop_here() == token:
            self._wake_pump()
        else:
            from_thread.run_sync(self._wake_pump, token=token)

    def _wake_pump(self) -> None:
        if self._wake is not None:
            self._wake.set()

    async def pump(self, threads: HandlerThreads) -> None:
        """Hand events to the handler, one after another, until cancelled."""
        self._token = current_token()
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
                "a handler raised at %s of run %s; the run is not affected", event.type, event.run_id
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
    def is_idle(self) -> bool:
        """Whether nothing waits for the handler."""
        return not (self._waiting or self._handling)


class Watch:
    """Wakes a reader that follows one run, and keeps what is only told live."""

    __slots__ = ("_event", "_is_told", "_run_id", "_watches", "live", "settled_only")

    def __init__(self, watches: dict[str, list[Watch]], run_id: str, *, settled_only: bool) -> None:
        self._watches, self._run_id = watches, run_id
        self.settled_only: bool = settled_only
        self.live: deque[Event] = deque(maxlen=DEFAULT_BUFFER)
        self._is_told = False
        self._event: LoopEvent | None = None
        """Made where the reader has to wait."""

    def __enter__(self) -> Self:
        self._watches.setdefault(self._run_id, []).append(self)
        return self

    def __exit__(self, *_: object) -> None:
        watches = self._watches[self._run_id]
        watches.remove(self)
        if not watches:
            del self._watches[self._run_id]

    def tell(self, events: Sequence[Event]) -> None:
        """Wake the reader if there is something for it."""
        if self.settled_only:
            if any(
                event.transition is not None and event.transition.target in SETTLED_STATES for event in events
            ):
                self.wake()
            return
        self.live.extend(event for event in events if event.seq is None)
        self.wake()

    def take(self) -> list[Event]:
        """Give what came since the last call; from now on ``wait`` waits for what comes later."""
        self._is_told = False
        if not self.live:
            return []
        events = list(self.live)
        self.live.clear()
        return events

    def wake(self) -> None:
        """Have the reader look at the run again."""
        self._is_told = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Wait until there is something for the reader."""
        if not self._is_told:
            self._event = new_event()
            await self._event.wait()


class EventBus:
    """Tells events to the observers of this process, after they are committed."""

    def __init__(self) -> None:
        self._subscriptions: tuple[Subscription, ...] = ()
        self._watches: dict[str, list[Watch]] = {}
        self._observers: tuple[Callable[[Sequence[Event]], object], ...] = ()
        self._start: Callable[[Subscription], None] | None = None

    @overload
    def subscribe(
        self,
        handler: Handler,
        /,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        buffer: int = DEFAULT_BUFFER,
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        /,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        buffer: int = DEFAULT_BUFFER,
    ) -> Callable[[Handler], Subscription]: ...
    def subscribe(
        self,
        handler: Handler | None = None,
        /,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        buffer: int = DEFAULT_BUFFER,
    ) -> Subscription | Callable[[Handler], Subscription]:
        """Have a handler called with each event, in order; as a call or as a decorator.

        Args:
            handler: Takes the event. A sync one is called in the bus's own thread; what can be awaited of what it gives
                is awaited on the event loop.
            types: Event classes or wire names; ``Emitted`` or ``CustomEvent`` for all of the application's own; None for
                all there are.
            run: Only events of the run of this id.
            pipeline: Only events of runs of the pipeline of this name.
            buffer: Events kept for a handler that lags; past it the oldest are lost, and counted. At least 1.

        Raises:
            DefinitionError: One of these is of another kind.
        """
        wanted = interest("subscribe", types=types, run=run, pipeline=pipeline)
        _check_buffer(buffer)

        def add(function: Handler) -> Subscription:
            _check_handler(function)
            subscription = Subscription(function, wanted, buffer, bus=self)
            self._subscriptions = (*self._subscriptions, subscription)
            if self._start is not None:
                self._start(subscription)
            return subscription

        return add if handler is None else add(handler)

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._subscriptions = tuple(known for known in self._subscriptions if known is not subscription)

    def publish(self, events: Sequence[Event]) -> None:
        """Tell committed (or live) events of one run; called on the event loop, never blocks, never raises."""
        for observer in self._observers:
            _call_observer(observer, events)
        for subscription in self._subscriptions:
            for event in events:
                if subscription.interest.wants(event):
                    subscription.put(event)
        if self._watches:
            for watch in self._watches.get(events[0].run_id, ()):
                watch.tell(events)

    def observe(self, observer: Callable[[Sequence[Event]], object]) -> None:
        """Call a function with each batch of events, on the event loop and at once; it must be quick."""
        self._observers = (*self._observers, observer)

    def unobserve(self, observer: Callable[[Sequence[Event]], object]) -> None:
        """Call it no more."""
        self._observers = tuple(known for known in self._observers if known != observer)

    def watch(self, run_id: str, *, settled_only: bool = False) -> Watch:
        """Follow one run while the context is open; ``settled_only`` to be woken only when it settles."""
        return Watch(self._watches, run_id, settled_only=settled_only)

    def wake(self, run_id: str) -> None:
        """Have everybody who follows this run look at it again."""
        for watch in self._watches.get(run_id, ()):
            watch.wake()

    def wake_watches(self) -> None:
        """Have everybody who follows a run look at it again."""
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    def open(self, spawn: Callable[..., Any], threads: HandlerThreads) -> None:
        """Begin to serve subscriptions with tasks made by ``spawn(function, *args)``."""
        self._start = lambda subscription: spawn(subscription.pump, threads)
        for subscription in self._subscriptions:
            self._start(subscription)

    async def drain(self, seconds: float) -> None:
        """Let handlers take what waits for them, for at most that long."""
        with anyio.move_on_after(seconds, shield=True):
            while not self.is_idle:  # noqa: ASYNC110  # at the close only: an event would have to be set at each call's end
                await anyio.sleep(0.001)

    def close(self) -> None:
        """Serve no more; what still waits is dropped."""
        self._start = None

    @property
    def is_idle(self) -> bool:
        """Whether no handler has anything left to do."""
        return all(subscription.is_idle for subscription in self._subscriptions)


def _check_buffer(buffer: object) -> None:
    if not isinstance(buffer, int) or isinstance(buffer, bool) or buffer < 1:
        raise DefinitionError(f"subscribe(buffer={buffer!r}) would keep no event; give 1 or more")


def _check_handler(handler: object) -> None:
    if not callable(handler):
        raise DefinitionError(f"subscribe({handler!r}) was given no function; give one that takes the event")


def _call_in_thread(handler: Handler, event: Event) -> object:
    try:
        return handler(event)
    except KeyboardInterrupt as error:  # Ctrl-C reaches no thread: it is the handler's own
        msg = "a handler raised KeyboardInterrupt in a thread"
        raise RuntimeError(msg) from error


def _call_observer(observer: Callable[[Sequence[Event]], object], events: Sequence[Event]) -> None:
    try:
        observer(events)
    except KeyboardInterrupt:
        raise
    except BaseException:
        log.exception("an observer raised at run %s; the run is not affected", events[0].run_id)
