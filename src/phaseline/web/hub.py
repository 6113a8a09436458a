"""From the bus to clients: one hub for a runtime, which finds who hears an event by its run and its pipeline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from phaseline._shell.positions import Positions, stored
from phaseline._shell.runner import Runner
from phaseline.errors import CodecError, PhaselineError
from phaseline.events import Event
from phaseline.rows import RunRecord
from phaseline.runtime import Runtime
from phaseline.subscriptions import Subscription

T = TypeVar("T")
log: Final = logging.getLogger("phaseline.web")

BUFFER: Final = 100_000
"""Events that wait to be handed out, at most; what is lost past that is read from the storage."""
PAGE: Final = 200
"""Stored events that are read at once."""
AT_ONCE: Final = 200
"""Times that a client is told something before other tasks get a turn."""
LOOK: Final = 0.25
"""Seconds between two looks at what other processes did, where nothing tells of it."""
LOOKS: Final = 100
"""Runs that are looked at each time, in turn."""
MOST_RUNS: Final = 10_000
"""Runs of which the last number told is remembered."""


class Ending(StrEnum):
    """Why a client hears no more."""

    LEFT = "left"
    """It went away."""
    SLOW = "slow"
    """It did not take what was sent to it, or not as fast as it came."""
    TOO_BIG = "too-big"
    """It said too much at once."""
    BAD_MESSAGES = "bad-messages"
    """It was not understood, again and again."""
    EXPIRED = "expired"
    """Its access holds no more."""
    CLOSING = "closing"
    """The runtime closes."""
    FAULT = "fault"
    """Something failed here."""


class Topic(NamedTuple):
    """What a client asks to hear: a run, the runs of a pipeline, or everything."""

    kind: str
    name: str = ""

    @classmethod
    def run(cls, run_id: str) -> Topic:
        """Give that of a run."""
        return cls("run", run_id)

    @classmethod
    def pipeline(cls, name: str) -> Topic:
        """Give that of all runs of a pipeline."""
        return cls("pipeline", name)


EVERYTHING: Final = Topic("everything")


class Told:
    """An event on its way to clients: each of its forms is made once, to however many it goes."""

    __slots__ = ("_forms", "event")

    def __init__(self, event: Event) -> None:
        self.event: Event = event
        self._forms: dict[object, object] = {}

    def form(self, make: Callable[[Event], T]) -> T:
        """Give what ``make`` gives of the event."""
        if make not in self._forms:
            self._forms[make] = make(self.event)
        return cast("T", self._forms[make])  # what this very function gave


class Listener(Protocol):
    """What a hub knows of a client."""

    def tell(self, told: Told) -> None:
        """Take an event; never blocks."""
        ...

    def moved(self, run_id: str, seq: int) -> None:
        """Take note that a run has events up to this number."""
        ...

    def look_after(self, now: float) -> None:
        """End if what is being sent is not taken; ``now`` is in monotonic seconds."""
        ...

    def end(self, ending: Ending) -> None:
        """Hear no more."""
        ...


class Hub:
    """Hands the events of a runtime to the clients that listen; it hears them as long as there are some."""

    def __init__(self, runtime: Runtime, on_empty: Callable[[Hub], object]) -> None:
        self.runtime: Runtime = runtime
        self.runner: Runner = runtime.runner
        self._on_empty = on_empty
        self._members: dict[Listener, None] = {}
        self._listeners: dict[Topic, dict[Listener, None]] = {}
        self._last = Positions(MOST_RUNS)
        """Of runs that moved."""
        self._unreadable: set[str] = set()
        """Runs that are followed, and not looked at any more since they cannot be read."""
        self._turn = self._tellings = 0
        self._scope = anyio.CancelScope()
        self._heard: Subscription | None = None

    # ------------------------------------------------------------------ who listens
    def join(self, listener: Listener) -> None:
        """Have a client looked after; it ends at once if the runtime was closed since the hub was asked for."""
        if self.runner.closed:
            listener.end(Ending.CLOSING)
            return
        if self._heard is None:  # it is the first one, or the last one left while it was let in
            self._last = Positions(MOST_RUNS)
            self._scope = anyio.CancelScope()
            self._heard = self.runtime.bus.subscribe(self._hear, buffer=BUFFER)
            self.runner.spawn(self._tend, self._scope)
        self._members[listener] = None

    def leave(self, listener: Listener, topics: Collection[Topic]) -> None:
        """Forget a client; with the last one the hub ends."""
        for topic in topics:
            self.unlisten(listener, topic)
        self._members.pop(listener, None)
        if not self._members and self._heard is not None:
            self._heard.cancel()
            self._heard = None
            self._scope.cancel()
            self._on_empty(self)

    def listen(self, listener: Listener, topic: Topic) -> None:
        """Have a client told of a topic from now on."""
        self._listeners.setdefault(topic, {})[listener] = None
        self._unreadable.discard(topic.name)  # it may have begun anew since

    def unlisten(self, listener: Listener, topic: Topic) -> None:
        """Tell it no more."""
        listeners = self._listeners.get(topic, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(topic, None)
            self._unreadable.discard(topic.name)

    # ------------------------------------------------------------------ what is told
    async def _hear(self, event: Event) -> None:
        """Take an event of the bus: those before it that the bus lost, or that another process wrote, are told first."""
        if event.seq is not None:
            last = self._last.get(event.run_id)
            self._last.note(event.run_id, event.seq if last is None else max(last, event.seq))
            if last is not None and event.seq <= last:
                return
            if last is not None and event.seq > last + 1 and self._is_told_widely(event):
                await self._fill(event, last)
        await self._hand_out(event)

    def _is_told_widely(self, event: Event) -> bool:
        """Whether somebody hears it who does not keep count of this run."""
        return EVERYTHING in self._listeners or Topic.pipeline(event.pipeline) in self._listeners

    async def _fill(self, event: Event, last: int) -> None:
        """Tell what was stored between two events, page by page: a gap may be long."""
        assert event.seq is not None  # noqa: S101  # asked by the caller
        while last + 1 < event.seq:
            page = await stored(self.runner, event.run_id, last, min(PAGE, event.seq - 1 - last))
            if not page:  # it was purged meanwhile
                return
            for found in page:
                await self._hand_out(found)
            last = page[-1].seq or event.seq

    async def _hand_out(self, event: Event) -> None:
        topics = (Topic.run(event.run_id), Topic.pipeline(event.pipeline), EVERYTHING)
        groups = [found for topic in topics if (found := self._listeners.get(topic))]
        if not groups:
            return
        hearing = groups[0] if len(groups) == 1 else {each: None for group in groups for each in group}
        told = Told(event)
        for listener in tuple(hearing):
            listener.tell(told)
            self._tellings += 1
            if self._tellings % AT_ONCE == 0:
                await checkpoint()

    # ------------------------------------------------------------------ looking after
    async def _tend(self, scope: anyio.CancelScope) -> None:
        """Look after clients and followed runs, for as long as the runtime is open."""
        try:
            with scope:
                while True:
                    await anyio.sleep(LOOK)
                    now = time.monotonic()
                    for listener in tuple(self._members):
                        listener.look_after(now)
                    if self.runner.storage.shared:
                        await self._look()
        finally:
            if (
                not scope.cancel_called
            ):  # else nobody was left, and who has come since is looked after by another task
                for listener in tuple(self._members):
                    listener.end(Ending.CLOSING)

    async def _look(self) -> None:
        """Find out how far the followed runs are that are carried forward elsewhere."""
        away = [
            topic.name
            for topic in self._listeners
            if topic.kind == "run"
            and topic.name not in self._unreadable
            and not self.runner.busy_with(topic.name)
        ]
        begin = self._turn if self._turn < len(away) else 0
        self._turn = begin + LOOKS
        try:
            for run_id in away[begin : self._turn]:
                await self._look_at(run_id)
        except PhaselineError as error:
            log.warning("runs that clients follow could not be looked at, it is tried again: %s", error)

    async def _look_at(self, run_id: str) -> None:
        head = partial(self.runner.storage.head, self.runner.options.namespace, run_id)
        try:
            found: RunRecord | None = await self.runner.read(head)
        except CodecError as error:  # the others are to be looked at
            log.warning(
                "run %s is followed, and cannot be read any more: %s", run_id, error, extra={"run_id": run_id}
            )
            self._unreadable.add(run_id)
            return
        if found is not None:
            for listener in tuple(self._listeners.get(Topic.run(run_id), ())):
                listener.moved(run_id, found.seq)


class Hubs:
    """The hubs of an application, one for each runtime that somebody listens to."""

    def __init__(self) -> None:
        self._hubs: dict[Runtime, Hub] = {}

    def of(self, runtime: Runtime) -> Hub:
        """Give that of a runtime.

        Raises:
            RuntimeNotOpenError: The runtime is not open.
        """
        hub = self._hubs.get(runtime)
        if hub is None or hub.runner is not runtime.runner:  # it may have been closed and opened anew
            hub = self._hubs[runtime] = Hub(runtime, self._forget)
        return hub

    def _forget(self, hub: Hub) -> None:
        if self._hubs.get(hub.runtime) is hub:
            del self._hubs[hub.runtime]
