"""Told after the commit: observers in this process, isolated from runs and from each other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from inspect import isfunction, signature
from typing import Any, Final, TypeVar, overload

import anyio
import attrs
from anyio import from_thread
from anyio.lowlevel import current_token

from phaseline.errors import DefinitionError, RuntimeUsageError
from phaseline.event_filter import Interest, Kind, interest
from phaseline.event_loop import loop_here
from phaseline.events import Event
from phaseline.subscriptions import Handler, HandlerThreads, Subscription, SubscriptionStats
from phaseline.watches import Inbox, LiveWatch, Watch

log: Final = logging.getLogger("phaseline.bus")

E = TypeVar("E", bound=Event)

DEFAULT_BUFFER = 10_000


@attrs.frozen(kw_only=True)
class BusStats:
    """How a bus is, at the moment at which it was asked."""

    told: int
    """Events told since it was made."""
    subscriptions: tuple[SubscriptionStats, ...]
    """Figures of each, in the order in which they subscribed."""
    readers: int
    """Those who wait for runs, or walk through events, at this moment."""


class EventBus:
    """Tells events to the observers of this process, after they are committed."""

    def __init__(self) -> None:
        self._subscriptions: tuple[Subscription, ...] = ()
        self._owners: tuple[Subscription, ...] = ()
        """Those that hear of commits of this process alone."""
        self._watches: dict[str, list[Watch]] = {}
        self._inboxes: dict[int, Inbox] = {}
        """By identity: a reader that is collected as garbage leaves at any moment, also amid another change."""
        self._changing = threading.Lock()
        self._observers: tuple[Callable[[Sequence[Event]], object], ...] = ()
        self._start: Callable[[Subscription], None] | None = None
        self._told = 0

    @overload
    def subscribe(
        self,
        handler: Callable[[E], object],
        /,
        *,
        types: Iterable[type[E]],
        run: str | None = None,
        pipeline: str | None = None,
        own: bool = False,
        buffer: int = DEFAULT_BUFFER,
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        handler: Handler,
        /,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        own: bool = False,
        buffer: int = DEFAULT_BUFFER,
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        /,
        *,
        types: Iterable[type[E]],
        run: str | None = None,
        pipeline: str | None = None,
        own: bool = False,
        buffer: int = DEFAULT_BUFFER,
    ) -> Callable[[Callable[[E], object]], Subscription]: ...
    @overload
    def subscribe(
        self,
        /,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        own: bool = False,
        buffer: int = DEFAULT_BUFFER,
    ) -> Callable[[Handler], Subscription]: ...
    def subscribe(
        self,
        handler: Callable[[Any], object] | None = None,
        /,
        *,
        types: Iterable[Kind] | None = None,
        run: str | None = None,
        pipeline: str | None = None,
        own: bool = False,
        buffer: int = DEFAULT_BUFFER,
    ) -> Subscription | Callable[[Callable[[Any], object]], Subscription]:
        """Have a handler called with each event, in order; as a call or as a decorator; from any thread.

        Args:
            handler: Takes the event. A sync one is called in the bus's own thread; what can be awaited of what it gives
                is awaited on the event loop.
            types: Event classes or wire names; ``Emitted`` or ``CustomEvent`` for all of the application's own; None for
                all there are.
            run: Only events of the run of this id.
            pipeline: Only events of runs of the pipeline of this name.
            own: Only events of commits of this process, not those of others that a transport brings: for a handler that
                does something about an event, which one process should do.
            buffer: Events kept for a handler that lags; past it the oldest are lost, and counted. At least 1.

        Raises:
            DefinitionError: One of these is of another kind.
        """
        wanted = interest("subscribe", types=types, run=run, pipeline=pipeline)
        check_buffer(buffer)
        _check_own(own)

        def add(function: Callable[[Any], object]) -> Subscription:
            _check_handler(function)
            subscription = Subscription(function, wanted, own, buffer, leave=self.remove)
            with self._changing:  # handlers, which may subscribe others, run in a thread
                if own:
                    self._owners = (*self._owners, subscription)
                else:
                    self._subscriptions = (*self._subscriptions, subscription)
                start = self._start
            if start is not None:
                start(subscription)
            return subscription

        return add if handler is None else add(handler)

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._changing:
            self._subscriptions = tuple(known for known in self._subscriptions if known is not subscription)
            self._owners = tuple(known for known in self._owners if known is not subscription)

    def publish(self, events: Sequence[Event]) -> None:
        """Tell committed (or live) events of one run; called on the event loop, never blocks, never raises."""
        if self._owners:
            self.tell_own(events)
        self.tell(events)

    def tell_own(self, events: Sequence[Event]) -> None:
        """Tell events of this process to those who hear of these alone; as ``publish``."""
        for subscription in self._owners:
            subscription.offer(events)

    def tell(self, events: Sequence[Event]) -> None:
        """Tell events, of whichever process, to all others; as ``publish``."""
        self._told += len(events)
        for observer in self._observers:
            _call_observer(observer, events)
        for subscription in self._subscriptions:
            subscription.offer(events)
        if self._inboxes:
            for inbox in tuple(self._inboxes.values()):
                inbox.tell(events)
        if self._watches:
            for watch in self._watches.get(events[0].run_id, ()):
                watch.tell(events)

    def observe(self, observer: Callable[[Sequence[Event]], object]) -> None:
        """Call a function with each batch of events, on the event loop and at once; it must be quick."""
        self._observers = (*self._observers, observer)

    def unobserve(self, observer: Callable[[Sequence[Event]], object]) -> None:
        """Call it no more."""
        self._observers = tuple(known for known in self._observers if known != observer)

    def watch(self, run_id: str) -> LiveWatch:
        """Follow one run while the context is open."""
        return LiveWatch(self._watches, run_id)

    def watch_for_end(self, run_id: str) -> Watch:
        """Follow one run while the context is open, to be woken only when it settles."""
        return Watch(self._watches, run_id)

    def follow(self, wanted: Interest, buffer: int = DEFAULT_BUFFER) -> Inbox:
        """Keep the batches of events that are wanted for a reader, from now until ``unfollow``."""
        inbox = Inbox(wanted, buffer)
        self._inboxes[id(inbox)] = inbox
        return inbox

    def unfollow(self, inbox: Inbox) -> None:
        """Keep no more for this reader."""
        self._inboxes.pop(id(inbox), None)

    def wake(self, run_id: str) -> None:
        """Have everybody who follows this run look at it again."""
        for watch in self._watches.get(run_id, ()):
            watch.wake()

    def wake_waiting(self) -> None:
        """Have everybody who waits for the end of a run look at it again."""
        for watches in self._watches.values():
            for watch in watches:
                if not isinstance(watch, LiveWatch):
                    watch.wake()

    def wake_readers(self) -> None:
        """Have everybody who follows one run, or many, look again."""
        for inbox in tuple(self._inboxes.values()):
            inbox.wake()
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    def open(self, spawn: Callable[..., Any], threads: HandlerThreads) -> None:
        """Begin to serve subscriptions with tasks made by ``spawn(function, *args)``.

        Raises:
            RuntimeUsageError: It is open already: it would hear of everything twice.
        """
        if self._start is not None:
            raise RuntimeUsageError(
                "this bus serves another open runtime; give each runtime a bus of its own"
            )
        here = current_token()

        def start(subscription: Subscription) -> None:
            if loop_here() is here.native_token:
                spawn(subscription.pump, threads)
            else:
                from_thread.run_sync(spawn, subscription.pump, threads, token=here)

        with (
            self._changing
        ):  # each is started here, or by the thread that adds it: twice, it would be told out of order
            self._start, there = start, self._all
        for subscription in there:
            start(subscription)

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
        return all(subscription.is_idle for subscription in self._all)

    def stats(self) -> BusStats:
        """Say how the bus is, and each subscription."""
        return BusStats(
            told=self._told,
            subscriptions=tuple(subscription.stats() for subscription in self._all),
            readers=len(self._inboxes) + sum(map(len, self._watches.values())),
        )

    @property
    def _all(self) -> tuple[Subscription, ...]:
        return (*self._subscriptions, *self._owners)


def check_buffer(buffer: object, verb: str = "subscribe") -> None:
    """Refuse what is no number of events to keep."""
    if not isinstance(buffer, int) or isinstance(buffer, bool) or buffer < 1:
        raise DefinitionError(f"{verb}(buffer={buffer!r}) would keep no event; give 1 or more")


def _check_handler(handler: Any) -> None:
    if not callable(handler):
        raise DefinitionError(f"subscribe({handler!r}) was given no function; give one that takes the event")
    if isfunction(handler):  # of others it is not sure what they take
        try:
            signature(handler, follow_wrapped=False).bind(None)
        except TypeError as error:
            msg = f"subscribe({handler.__qualname__}): it is called with the event alone, and does not take that: {error}"
            raise DefinitionError(msg) from error


def _check_own(own: object) -> None:
    if not isinstance(own, bool):
        raise DefinitionError(f"subscribe(own={own!r}): True or False is expected")


def _call_observer(observer: Callable[[Sequence[Event]], object], events: Sequence[Event]) -> None:
    try:
        observer(events)
    except KeyboardInterrupt:
        raise
    except BaseException:
        log.exception(
            "an observer raised at run %s; the run is not affected",
            events[0].run_id,
            extra={"run_id": events[0].run_id},
        )
