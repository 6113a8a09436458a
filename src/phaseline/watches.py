"""Readers who wait for what comes next: of one run, or of many."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Self

from phaseline.event_filter import Interest
from phaseline.event_loop import LoopEvent, new_event
from phaseline.events import Event
from phaseline.rows import SETTLED_STATES

LIVE_KEPT = 10_000
"""Events kept for a reader that lags: of those that are only told live the oldest are lost, the others are read again from
the storage."""
MOST_OWED = 50_000
"""Runs that a reader may be behind with, beyond what is kept for it."""


class Watch:
    """Wakes a reader that waits for one run to settle."""

    __slots__ = ("_event", "_is_told", "_run_id", "_watches")

    def __init__(self, watches: dict[str, list[Watch]], run_id: str) -> None:
        self._watches, self._run_id = watches, run_id
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
        for event in events:
            if event.transition is not None and event.transition.target in SETTLED_STATES:
                self.wake()
                return

    def look(self) -> None:
        """Note that the reader looks at the run: from now on ``wait`` waits for what comes later."""
        self._is_told = False

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


class LiveWatch(Watch):
    """Wakes a reader that follows one run with whatever happens, and keeps what is only told live."""

    __slots__ = ("_live",)

    def __init__(self, watches: dict[str, list[Watch]], run_id: str) -> None:
        super().__init__(watches, run_id)
        self._live: deque[Event] = deque(maxlen=LIVE_KEPT)

    def tell(self, events: Sequence[Event]) -> None:
        """Wake the reader, and keep what nobody can read again."""
        self._live.extend(event for event in events if event.seq is None)
        self.wake()

    def take(self) -> list[Event]:
        """Give what came since the last call, and look."""
        self.look()
        events = list(self._live)
        self._live.clear()
        return events


class Inbox:
    """What waits for one reader of the events of many runs, a batch of one run at a time.

    It is bounded: of a batch that has no room only the run is noted, to be read from the storage, and so is what comes after it.
    """

    def __init__(self, interest: Interest, kept: int) -> None:
        self._interest, self._kept = interest, kept
        self._batches: deque[Sequence[Event]] = deque()
        self._count = 0
        self.owed: dict[str, int] = {}
        """Runs of which batches had no room: the number before the first event that is missing."""
        self.lost: int = 0
        """Events lost for good: told live only, and without room, or while something before them was yet to be read."""
        self.is_overrun: bool = False
        """Whether the reader is behind with more runs than could be noted."""
        self._news: LoopEvent | None = None

    def tell(self, events: Sequence[Event]) -> None:
        """Keep a batch for the reader, if it is one of those wanted."""
        first = events[0]
        if not self._interest.concerns(first):
            return
        # What a run goes on with waits for what is missing of it, and after an overrun nobody knows of which run something is.
        is_missed = self.is_overrun or first.run_id in self.owed
        if not is_missed and self._count + len(events) <= self._kept:
            self._batches.append(events)
            self._count += len(events)
        elif first.seq is None:
            self.lost += len(events)
        elif not is_missed:
            self._owe(first.run_id, first.seq - 1)
        self.wake()

    def _owe(self, run_id: str, after: int) -> None:
        if len(self.owed) < MOST_OWED:
            self.owed[run_id] = after
        else:
            self.is_overrun = True

    def take(self) -> Sequence[Event] | None:
        """Give the oldest batch, if there is one."""
        if not self._batches:
            return None
        events = self._batches.popleft()
        self._count -= len(events)
        return events

    def wake(self) -> None:
        """Have the reader look again."""
        if self._news is not None:
            self._news.set()

    async def wait(self) -> None:
        """Wait until ``wake`` is called; nothing may be awaited between the look that found nothing and this."""
        self._news = new_event()
        await self._news.wait()
