"""What one client hears, whatever carries it: its subscriptions, how far it is in each run, and what waits for it.

Of each run events come in their order, stored ones first, and none is left out or told twice: who is behind is told from the
storage, not from memory. So what is kept for a client is bounded, and a client that does not take it is let go of.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import anyio
import attrs

from phaseline._shell.clock import Timer
from phaseline._shell.ids import first_id
from phaseline._shell.outage import patiently
from phaseline._shell.positions import stored
from phaseline._shell.relay import MARGIN
from phaseline._values.spans import check_unit
from phaseline.errors import (
    CodecError,
    DefinitionError,
    RunNotFoundError,
    SubscriptionError,
    SubscriptionLimitError,
)
from phaseline.event_loop import LoopEvent, new_event
from phaseline.events import Event
from phaseline.query_arguments import check_asked, check_run_id
from phaseline.rows import RunRecord
from phaseline.runs import summary_of
from phaseline.web.access import Action, everything
from phaseline.web.followed import MOST_RUNS, FollowedRun, FollowedRuns
from phaseline.web.guard import Visitor
from phaseline.web.hub import EVERYTHING, PAGE, Ending, Hub, Told, Topic
from phaseline.web.resuming import begun_since, bounded

A = TypeVar("A")
log: Final = logging.getLogger("phaseline.web")


def _whole(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        msg = f"FeedLimits({attribute.name}={value!r}): a whole number from 1 is needed"
        raise DefinitionError(msg)


def _time(_: object, attribute: attrs.Attribute[timedelta], value: object) -> None:
    if check_unit(value, attribute.name, "FeedLimits") <= timedelta():
        msg = f"FeedLimits({attribute.name}={value}): a time above zero is needed"
        raise DefinitionError(msg)


@attrs.frozen(kw_only=True)
class FeedLimits:
    """What one client may have.

    Raises:
        DefinitionError: A number is below 1, or the time no timedelta above zero.
    """

    subscriptions: int = attrs.field(default=100, validator=_whole)
    """Subscriptions at once."""
    buffer: int = attrs.field(default=1_000, validator=_whole)
    """Events that are kept for it; what comes past them is read from the storage once there is room."""
    send_within: timedelta = attrs.field(default=timedelta(seconds=10), validator=_time)
    """How long it may leave one message untaken; then it is let go of as slow."""


DEFAULT_LIMITS: Final = FeedLimits()


class Feed(Generic[A]):
    """The events that one client hears; open it with ``with``, and have it served by one task.

    ``A`` are the answers of the transport's own, which go to the client in order with events.
    """

    def __init__(self, hub: Hub, visitor: Visitor, limits: FeedLimits = DEFAULT_LIMITS) -> None:
        self.ending: Ending | None = None
        """Why it ended; None while it goes on."""
        self._hub, self._visitor, self._limits = hub, visitor, limits
        self._patience = limits.send_within.total_seconds()
        self._asks = visitor.access.may is not everything
        """Whether each run of a wide subscription has to be asked about."""
        self._topics: dict[Topic, None] = {}
        self._followed = FollowedRuns(pinned=limits.subscriptions)
        self._noted: dict[str, int] | None = None
        """Runs that go on while it is looked up which ones are taken up again, each with the number before; None: nothing is."""
        self._waiting: deque[Told | A] = deque()
        self._wake: LoopEvent | None = None
        self._sending_since = math.inf
        self._scope = anyio.CancelScope()
        self._lock = anyio.Lock()
        self._expiry: Timer | None = None

    def __enter__(self) -> Self:
        self._hub.join(self)
        expires_at = self._visitor.access.expires_at
        if expires_at is not None:
            self._expiry = self._hub.runner.timers.at(expires_at, partial(self.end, Ending.EXPIRED))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._hub.leave(self, self._topics)
        self.end(Ending.LEFT)

    # ------------------------------------------------------------------ subscriptions
    async def follow_run(self, run_id: str, *, after: int = 0) -> int:
        """Hear the events of a run numbered above ``after``, those that are stored first; gives its last number.

        Whoever asks for it once more hears it from ``after`` on.

        Raises:
            RunNotFoundError: There is no such run, or not for this client.
            SubscriptionLimitError: It has as many subscriptions as it may.
            StorageError: The run cannot be read.
        """
        check_run_id(run_id, "a subscription")
        async with self._lock:
            self._add(Topic.run(run_id))
            followed = self._followed.follow(run_id, after, pinned=True)
            try:
                run = await self._audible(run_id)
            except BaseException:
                self._remove(Topic.run(run_id))
                raise
            followed.is_checked = True
            followed.known = max(followed.known, run.seq)
            followed.told = min(after, followed.known)
            if followed.told < followed.known:
                self._read_later(run_id)
            return followed.known

    async def follow_all(
        self,
        pipeline: str | None = None,
        *,
        after: Mapping[str, int] | None = None,
        newer_than: str | None = None,
    ) -> str | None:
        """Hear the events of all runs, or of those of a pipeline, from now on; gives the id of the newest run.

        To go on after an interruption say how far you are in each run, and which run was the newest: of runs that began
        later all events are told. Who may not hear of each run is given a place in the order of ids instead, which is that of
        now, and tells nothing of what he may not hear of. Runs of others are not counted among those that are taken up.

        Args:
            pipeline: Name of the pipeline; None for all.
            after: By ids of runs, the last number that is known of each; at most 1 000 runs.
            newer_than: What was given at the first time.

        Raises:
            ForbiddenError: This client may subscribe to single runs at most.
            DefinitionError: ``newer_than`` is no id of a run.
            SubscriptionError: No such pipeline is registered, more than 1 000 runs are to be taken up, or too many are to be
                looked through for them.
            SubscriptionLimitError: It has as many subscriptions as it may.
            StorageError: The runs cannot be read.
        """
        topic = EVERYTHING if pipeline is None else Topic.pipeline(pipeline)
        async with self._lock:
            await self._visitor.require(Action.SUBSCRIBE)
            if pipeline is not None and pipeline not in self._visitor.runtime.names:
                raise SubscriptionError(f"no pipeline {pipeline!a} is registered here; look at its spelling")
            check_asked(newer_than, "newer_than")
            self._add(topic)
            self._followed.forget_refused()
            self._noted = {} if after or newer_than is not None else None
            try:
                newest = await self._newest(pipeline, newer_than)
                begun: Sequence[str] = ()
                if newer_than is not None:
                    begun = await begun_since(self._visitor, pipeline, newer_than)
                resumed = bounded(dict.fromkeys(begun, 0) | dict(after or {}))
            except BaseException:
                self._take_up({})  # what another subscription covers
                self._remove(topic)
                raise
            self._take_up(resumed)
            return newest

    async def unfollow(self, topic: Topic) -> bool:
        """Hear no more of it; gives whether it was subscribed to."""
        async with self._lock:
            known = topic in self._topics
            self._remove(topic)
            return known

    def _add(self, topic: Topic) -> None:
        if topic not in self._topics and len(self._topics) >= self._limits.subscriptions:
            raise SubscriptionLimitError(self._limits.subscriptions)
        self._topics[topic] = None
        self._hub.listen(self, topic)

    def _remove(self, topic: Topic) -> None:
        self._topics.pop(topic, None)
        self._hub.unlisten(self, topic)
        is_wide = any(known.kind != "run" for known in self._topics)
        left = [topic.name] if topic.kind == "run" else self._followed.unpinned()
        for run_id in left:
            self._followed.release(run_id, may_be_covered=is_wide)

    def _take_up(self, resumed: Mapping[str, int]) -> None:
        noted, self._noted = self._noted or {}, None
        for run_id, seq in {**noted, **resumed}.items():
            known = self._followed.get(run_id)
            if known is None or not known.is_pinned:
                self._followed.follow(run_id, seq)
                self._read_later(run_id)

    async def _newest(self, pipeline: str | None, otherwise: str | None) -> str | None:
        if self._asks:
            return first_id(self._hub.runner.clock.now() - MARGIN)
        page = await self._visitor.runtime.find(pipeline=pipeline, limit=1)
        return page.runs[0].id if page.runs else otherwise

    async def _audible(self, run_id: str) -> RunRecord:
        """Give a run that the client names and may hear of."""
        run = await self._hub.runner.record_of(run_id)
        if not await self._may_hear(run):
            raise RunNotFoundError(run_id)
        return run

    async def _may_hear(self, run: RunRecord) -> bool:
        if not self._asks:
            return True
        return await self._visitor.access.allows(Action.SUBSCRIBE, summary_of(self._hub.runner, run))

    # ------------------------------------------------------------------ what comes
    def tell(self, told: Told) -> None:
        """Take an event; never blocks. What finds no room is read once there is some."""
        event, has_room = told.event, len(self._waiting) < self._limits.buffer
        followed = self._followed.get(event.run_id)
        if followed is None:
            if self._noted is not None:  # it may be one that is taken up again, from an earlier number
                self._note(event, self._noted)
                return
            if has_room and not self._asks:
                self._put(told)
                return
            if event.seq is None:  # what is told live alone does not wait
                return
            followed = self._followed.follow(event.run_id, event.seq - 1)
            followed.is_checked = not self._asks
        if followed.is_refused:
            return
        is_level = has_room and followed.is_checked and not self._followed.is_behind(event.run_id)
        if event.seq is None:
            if is_level:
                self._put(told)
        elif is_level and event.seq == followed.told + 1:
            followed.told = followed.known = event.seq
            self._put(told)
        else:
            self.moved(event.run_id, event.seq)

    def _note(self, event: Event, noted: dict[str, int]) -> None:
        if event.seq is not None:  # what is told live alone does not wait
            noted.setdefault(event.run_id, event.seq - 1)
            if len(noted) > MOST_RUNS:
                self.end(Ending.SLOW)

    def moved(self, run_id: str, seq: int) -> None:
        """Take note that a run has events up to this number."""
        followed = self._followed.get(run_id)
        if followed is not None and not followed.is_refused:
            followed.known = max(followed.known, seq)
            if followed.told < followed.known and not followed.is_asked_for:
                self._read_later(run_id)

    def answer(self, answer: A) -> None:
        """Have something of the transport's own sent, after what was told before it."""
        if len(self._waiting) < 2 * self._limits.buffer:
            self._put(answer)
        else:  # it asks and asks, and reads nothing
            self.end(Ending.SLOW)

    def _put(self, item: Told | A) -> None:
        self._waiting.append(item)
        self._wake_up()

    def _read_later(self, run_id: str) -> None:
        self._followed.fall_behind(run_id)
        if self._followed.is_overrun:  # rather than leave one of them out
            self.end(Ending.SLOW)
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()

    # ------------------------------------------------------------------ what goes
    def end(self, ending: Ending) -> None:
        """Hear no more; the first reason holds."""
        if self.ending is None:
            self.ending = ending
            self._waiting.clear()
            self._scope.cancel()
            self._wake_up()

    def look_after(self, now: float) -> None:
        """End if what is being sent is not taken; ``now`` is in monotonic seconds."""
        if now - self._sending_since > self._patience:
            self.end(Ending.SLOW)

    async def serve(self, send: Callable[[Told | A], Awaitable[object]]) -> Ending:
        """Send everything that comes with ``send``, one after another, until the end; gives the reason of it.

        What ``send`` raises is raised.
        """
        with self._scope:
            while self.ending is None:
                await self._flush(send)
                followed = self._followed.next_behind
                if followed is not None:
                    await self._catch_up(followed, send)
                elif not self._waiting and self.ending is None:
                    self._wake = new_event()
                    await self._wake.wait()
        return self.ending or Ending.LEFT

    async def _flush(self, send: Callable[[Told | A], Awaitable[object]]) -> None:
        while self._waiting:
            await self._send(self._waiting.popleft(), send)

    async def _send(self, item: Told | A, send: Callable[[Told | A], Awaitable[object]]) -> None:
        self._sending_since = time.monotonic()
        try:
            await send(item)
        finally:
            self._sending_since = math.inf

    async def _catch_up(self, followed: FollowedRun, send: Callable[[Told | A], Awaitable[object]]) -> None:
        """Tell a page of what is stored of a run; it goes behind the others then."""
        try:
            if not followed.is_checked and not await self._check(followed):
                self._followed.was_read(followed, has_more=False)
                return
            known = followed.known
            page = await stored(self._hub.runner, followed.id, followed.told, PAGE)
        except CodecError as error:
            # Nor could it be when the client comes again, and the others are to be told.
            log.warning(
                "run %s is passed over by a client's events: %s",
                followed.id,
                error,
                extra={"run_id": followed.id},
            )
            followed.is_refused = True
            self._followed.was_read(followed, has_more=False)
            return
        except Exception:
            # Also what the host's own ``may`` raises: the client comes again, and is told the rest then.
            log.exception(
                "events of run %s could not be read for a client", followed.id, extra={"run_id": followed.id}
            )
            self.end(Ending.FAULT)
            return
        for event in page:
            if self._followed.get(followed.id) is not followed:  # it was unsubscribed from meanwhile, or anew
                return
            followed.told = event.seq or followed.told
            await self._send(Told(event), send)
        # What is known to be there and is not found was purged, but for what came while it was looked for.
        is_told_more = bool(page) or followed.known > known
        has_more = len(page) == PAGE or (is_told_more and followed.told < followed.known)
        self._followed.was_read(followed, has_more=has_more)

    async def _check(self, followed: FollowedRun) -> bool:
        """Ask whether the client may hear of a run that it did not name, or said itself how far it is in."""
        runner = self._hub.runner
        head = partial(runner.storage.head, runner.options.namespace, followed.id)
        run = await patiently(runner.clock, partial(runner.read, head))
        is_covered = run is not None and (
            EVERYTHING in self._topics or Topic.pipeline(run.pipeline) in self._topics
        )
        if run is not None and is_covered and await self._may_hear(run):
            followed.is_checked = True
            followed.known = max(followed.known, run.seq)
            followed.told = min(followed.told, followed.known)
            return True
        followed.is_refused = True
        return False
