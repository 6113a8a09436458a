"""The real clock, and one heap for everything that is to happen at a time."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import anyio

from phaseline.abc import Clock

_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; monotonic() stops in a suspended laptop
_steady: Callable[[], float] = time.monotonic if _BOOT is None else partial(time.clock_gettime, _BOOT)
"""Seconds that go on while the machine sleeps, where the system can count them."""
_from_timestamp = datetime.fromtimestamp  # looked up once: each unit asks for the time


class SystemClock:
    """The time of the storage, carried on by this machine's steady clock.

    Leases and due times are judged by the storage's time alone. What this process writes must be of the same time, or a
    wall clock that is wrong here, or set while we run, would make leases that have run out when they are given.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - _steady()
        """Seconds by which the storage's time since 1970 is ahead of the steady clock; a float tells microseconds until 2100."""

    def now(self) -> datetime:
        """Aware UTC."""
        # A moment and a timedelta, added, would cost half as much again.
        return _from_timestamp(self._ahead + _steady(), UTC)

    def sql_now(self) -> datetime | None:
        """None: the storage compares with its own time."""
        return None

    def follow(self, ask: Callable[[], datetime]) -> None:
        """Go on from the storage's time; on a thread, where to ask for it blocks.

        It was that time at some moment between question and answer, so what is known is kept where that may be right: an
        answer that took five seconds, because this process was stopped meanwhile, must not set it back by as much.
        """
        before = _steady()
        told = ask().timestamp()
        self._ahead = min(max(self._ahead, told - _steady()), told - before)

    async def sleep_until(self, moment: datetime) -> None:
        """Return once ``now()`` has reached the moment."""
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110  # nothing tells that a time has come
            await anyio.sleep(left)  # again if the storage's clock was set back meanwhile

    async def rest(self, span: timedelta) -> None:
        """Return once so much time has passed."""
        await self.sleep_until(self.now() + span)


_MOST_CANCELLED = 100
"""Cancelled entries that are kept until their time comes, however few others there are."""


class Timer:
    """An entry of the heap."""

    __slots__ = ("_timers", "action")

    def __init__(self, timers: Timers, action: Callable[[], None]) -> None:
        self._timers = timers
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        if self.action is not None:
            self.action = None
            self._timers.note_cancelled()


class Timers:
    """Calls plain functions at their time, on the event loop; one task however many there are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, Timer]] = []
        self._cancelled = 0
        """How many of its entries are cancelled, about."""
        self._numbers = count()
        self._added = anyio.Event()
        self._scope: anyio.CancelScope | None = None

    def at(self, moment: datetime, action: Callable[[], None]) -> Timer:
        """Call ``action`` once ``moment`` has come; it must not block or raise."""
        timer = Timer(self, action)
        first = not self._heap or moment < self._heap[0][0]
        heapq.heappush(self._heap, (moment, next(self._numbers), timer))
        if first:
            self._added.set()
            if self._scope is not None:
                self._scope.cancel()  # it sleeps for a later moment
        return timer

    def __len__(self) -> int:
        """How many entries are held, cancelled ones included."""
        return len(self._heap)

    def note_cancelled(self) -> None:
        """Count an entry that is cancelled; once most of them are, they are let go, with what their actions hold."""
        self._cancelled += 1
        if self._cancelled > _MOST_CANCELLED and 2 * self._cancelled > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    async def run(self) -> None:
        """Serve the heap until cancelled."""
        while True:
            while self._heap and (self._heap[0][2].action is None or self._heap[0][0] <= self._clock.now()):
                timer = heapq.heappop(self._heap)[2]
                action, timer.action = timer.action, None
                if action is None:
                    self._cancelled -= 1
                else:
                    action()
            self._added = anyio.Event()
            if not self._heap:
                await self._added.wait()
                continue
            with anyio.CancelScope() as self._scope:
                await self._clock.sleep_until(self._heap[0][0])
            self._scope = None


class Earliest:
    """One timer for the earliest of all moments at which something is to be done, however many are told."""

    def __init__(self) -> None:
        self._next: tuple[datetime, Timer] | None = None

    def at(self, moment: datetime, timers: Timers, action: Callable[[], None]) -> None:
        """Have it done at this moment, unless it is to be done before: then whoever does it finds out what comes next."""
        if self._next is not None:
            if self._next[0] <= moment:
                return
            self._next[1].cancel()
        self._next = moment, timers.at(moment, partial(self._come, action))

    def _come(self, action: Callable[[], None]) -> None:
        self._next = None
        action()
