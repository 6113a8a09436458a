"""Between the bus and other processes: events that are committed here are sent, and what others commit is told here.

Of each run events are told in the order of their numbers, wherever they were committed. What was told already is passed over,
and what is missing is read from the storage, before what comes after it is told.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
from anyio import to_thread
from anyio.lowlevel import checkpoint

from phaseline._shell.background import survived
from phaseline._shell.outage import patiently
from phaseline._shell.positions import PAGE, Positions, between, stored
from phaseline.event_loop import LoopEvent, loop_post, new_event
from phaseline.events import Event
from phaseline.rows import ENDED_STATES, RunRecord
from phaseline.run_filter import RunFilter
from phaseline.transport import Line, Transport

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

T = TypeVar("T")
log: Final = logging.getLogger("phaseline.transport")

MARGIN = timedelta(seconds=1)
"""By how much the clocks of processes may differ."""
RECENT = 100
"""Events of a run that are read at once, from its end backwards."""
AUDIT = 5.0
"""Seconds between two looks at runs of which nothing was told for long: whoever committed their last events may have died
before these were sent."""
AUDITED = 100
"""Runs of one such look."""
MOST_WAITING = 10_000
"""Batches of others that wait to be told; past it they are read from the storage."""


class Relay:
    """Sends and tells the events of one runtime."""

    def __init__(self, runner: Runner, transport: Transport) -> None:
        self._runner, self._transport = runner, transport
        self._line: Line | None = None
        self._inbox: deque[Sequence[Event]] = deque()
        self._is_at_work = False
        """Whether something is being told that was taken out of the inbox."""
        self._missed_since: datetime | None = None
        """Something may have been lost from this moment on."""
        self._positions = Positions()
        self._told_until: dict[str, datetime] = {}
        """When the newest events were that were told, of the same runs."""
        self._open: dict[str, float] = {}
        """Runs among them that have not ended, as far as was told, and when each was told of; the last one comes last."""
        self._since = runner.clock.now() - MARGIN
        """Of a run of which nothing was told, what is older is none of our business."""
        self._news: LoopEvent | None = None

    async def open(self) -> None:
        """Begin to hear, and to send what is published from now on."""
        post = loop_post()
        join = partial(
            self._transport.join,
            self._runner.options.namespace,
            lambda events: post(partial(self._hear, events)),
            # Counted from now, and not from when the loop comes to it.
            lambda ago: post(partial(self._lose, self._runner.clock.now() - ago)),
        )
        self._line = await to_thread.run_sync(join)
        self._since = self._runner.clock.now() - MARGIN
        self._runner.publish = self._publish
        self._runner.spawn(self._work)
        self._runner.spawn(self._audit)

    async def close(self) -> None:
        """Send the last events, and hear no more."""
        self._runner.publish = self._runner.bus.publish
        if self._line is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._line.close)

    @property
    def trouble(self) -> str | None:
        """What keeps events from being sent or heard now; None if nothing is known to."""
        return None if self._line is None else self._line.trouble

    # ------------------------------------------------------------------ what comes in
    def _publish(self, events: Sequence[Event]) -> None:
        """Tell events of this process, and send them; in the place of ``bus.publish``."""
        assert self._line is not None  # noqa: S101  # it is published by from then on
        bus, first = self._runner.bus, events[0]
        bus.tell_own(events)
        with survived(
            log, "a transport raised at events that it was to send; other processes hear of them later"
        ):
            self._line.send(events)
        if first.seq is None:
            bus.tell(events)
        elif not self._inbox and not self._is_at_work and first.seq == 1 + self._told(first.run_id):
            self._tell(events)
        else:  # something before it is on its way, or missing
            self._inbox.append(events)
            bus.wake(first.run_id)
            self._wake()

    def _hear(self, events: Sequence[Event]) -> None:
        """Take a batch of somebody else's."""
        if len(self._inbox) < MOST_WAITING:
            self._inbox.append(events)
            self._wake()
        else:
            self._lose(events[0].at)

    def _lose(self, since: datetime) -> None:
        """Something may be lost that came about from this moment on, until it is looked for."""
        self._missed_since = since if self._missed_since is None else min(since, self._missed_since)
        self._runner.bus.wake_readers()
        self._wake()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    # ------------------------------------------------------------------ what is told
    async def _work(self) -> None:
        while True:
            if self._inbox:
                await self._take_all()
            elif self._missed_since is not None:
                since, self._missed_since = self._missed_since, None
                with survived(log, "what other processes have done meanwhile could not be looked for"):
                    await self._catch_up(since - MARGIN)
            else:
                self._news = new_event()
                await self._news.wait()

    async def _take_all(self) -> None:
        while self._inbox:
            batch = self._inbox.popleft()
            with self._working_at(batch[0].run_id):
                await self._take(batch)
            await checkpoint()

    async def _take(self, batch: Sequence[Event]) -> None:
        """Tell a batch, and before it what is missing of its run."""
        first = batch[0]
        if first.seq is None:
            self._runner.bus.tell(batch)
            return
        self._tell(await self._missing(first.run_id, first.seq))
        told = self._told(first.run_id)
        self._tell([event for event in batch if (event.seq or 0) > told])

    async def _missing(self, run_id: str, before: int) -> list[Event]:
        """Read what is to be told of a run before an event."""
        told = self._positions.get(run_id)
        if told is not None or before == 1:
            return await between(self._runner, run_id, told or 0, before)
        recent: list[Event] = []
        while before > 1:
            start = max(0, before - 1 - RECENT)
            page = await between(self._runner, run_id, start, before)
            new = [event for event in page if event.at >= self._since]
            recent = [*new, *recent]
            if len(new) < RECENT:
                break
            before = start + 1
        return recent

    def _told(self, run_id: str) -> int:
        return self._positions.get(run_id) or 0

    def _tell(self, events: Sequence[Event]) -> None:
        """Tell stored events of one run, which come next in it."""
        if not events:
            return
        last = events[-1]
        has_ended = self._open.pop(last.run_id, None) is None and self._positions.get(last.run_id) is not None
        for event in events:
            if event.transition is not None:
                has_ended = event.transition.target in ENDED_STATES
        forgotten = self._positions.note(last.run_id, last.seq or 0)
        self._told_until[last.run_id] = last.at
        if not has_ended:
            self._open[last.run_id] = time.monotonic()
        for run_id in forgotten:  # what comes of it is later than what was told of it
            self._open.pop(run_id, None)
            self._since = max(self._since, self._told_until.pop(run_id) + timedelta.resolution)
        self._runner.bus.tell(events)

    # ------------------------------------------------------------------ after a loss
    async def _catch_up(self, since: datetime) -> None:
        """Tell what was lost: look at the runs that go on, those that ended meanwhile, and those that went on here.

        None is forgotten meanwhile, however many there are: they are not met in the order in which things came about, so
        what is yet to be told of one may be older than what was told of another.
        """
        most, self._positions.most = self._positions.most, sys.maxsize
        try:
            await self._tell_since(since)
        finally:
            self._positions.most = most

    async def _tell_since(self, since: datetime) -> None:
        was_open = set(self._open)
        for wanted in (RunFilter(ended=False), RunFilter(ended=True, ended_since=since)):
            after = None
            while runs := await self._found(wanted, after):
                for run in runs:
                    was_open.discard(run.id)
                    if run.updated_at >= since or run.id in self._open:
                        await self._tell_rest(run.id, run.seq)
                after = runs[-1].id
        for run_id in was_open:  # they have ended meanwhile
            await self._look_at(run_id)

    async def _audit(self) -> None:
        """Look, by and by, at the runs that are silent."""
        while True:
            await anyio.sleep(AUDIT)
            for run_id, told_at in list(islice(self._open.items(), AUDITED)):
                if time.monotonic() - told_at < AUDIT:
                    break
                if run_id in self._open:
                    del self._open[run_id]
                    self._open[run_id] = time.monotonic()  # others come first the next time
                    await self._look_at(run_id)

    async def _look_at(self, run_id: str) -> None:
        """Have told what the storage has of a run beyond what was told."""
        after = self._told(run_id)
        with _survived_of(run_id):
            while page := await stored(self._runner, run_id, after):
                self._inbox.append(page)
                self._wake()
                after = page[-1].seq or 0

    async def _tell_rest(self, run_id: str, seq: int) -> None:
        with self._working_at(run_id):
            self._tell(await self._missing(run_id, seq + 1))
        await self._take_all()

    @contextmanager
    def _working_at(self, run_id: str) -> Generator[None]:
        """Tell of a run what is read; what cannot be read of it holds up no other."""
        self._is_at_work = True
        try:
            with _survived_of(run_id):
                yield
        finally:
            self._is_at_work = False

    async def _found(self, wanted: RunFilter, after: str | None) -> Sequence[RunRecord]:
        """Read a page of runs."""
        runner = self._runner
        find = partial(runner.storage.find, runner.options.namespace, wanted, after=after, limit=PAGE)
        return await patiently(runner.clock, partial(runner.read, find))


def _survived_of(run_id: str) -> AbstractContextManager[None]:
    return survived(
        log,
        f"events of run {run_id} could not be read; they are told with what comes of it next, or when it is looked at while it goes on",
    )
