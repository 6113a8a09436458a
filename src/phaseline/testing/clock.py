"""A clock that stands until it is moved."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import anyio
from anyio.lowlevel import checkpoint

from phaseline._shell.runner import Runner
from phaseline._shell.worker import FORGOTTEN_AFTER
from phaseline.pipeline import open_hosts
from phaseline.runtime import Runtime

QUIET_TURNS = 50
"""Turns of the event loop without a commit after which a runtime is taken to be at rest."""
BODY_PATIENCE = 2.0
"""Real seconds to wait for sync bodies; one that is stuck must not stop the clock for ever."""
LONGEST_STRETCH = 1 << 20
"""How many times as long a rest may become."""
BREATH = 0.0002
"""Real seconds between looks at a storage at work. To spin instead would keep the interpreter's lock from its threads."""


class FakeClock:
    """Governs all timing of the runtimes that it is given to: retries, delays, timeouts, leases, sweeps.

    It does not govern what bodies do by themselves: a body that sleeps, sleeps for real.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._sleepers: list[tuple[datetime, int, anyio.Event]] = []
        self._resting: list[tuple[datetime, timedelta, anyio.Event]] = []
        """Since when, how long, and who rests."""
        self._numbers = count()

    def now(self) -> datetime:
        """The time it shows, in UTC."""
        return self._now

    def sql_now(self) -> datetime | None:
        """The time it shows: storages compare with it too."""
        return self._now

    def follow(self, ask: Callable[[], datetime]) -> None:
        """Stand where it was put, whatever the time of the storage."""

    async def sleep_until(self, moment: datetime) -> None:
        """Return once it was moved to the moment or past it."""
        if moment <= self._now:
            await checkpoint()
            return
        event = anyio.Event()
        heapq.heappush(self._sleepers, (moment, next(self._numbers), event))
        await event.wait()

    async def rest(self, span: timedelta) -> None:
        """Return once it was moved on by ``span``, or by more, as long as that changes nothing: see ``advance``."""
        if span <= timedelta(0):
            await checkpoint()
            return
        event = anyio.Event()
        self._resting.append((self._now, span, event))
        await event.wait()

    async def advance(self, delta: timedelta) -> None:
        """Move on by ``delta``, stopping at each moment somebody waits for; returns when the runtimes are at rest.

        Where the runtimes only look, again and again, whether others left them work, it stops for twice as long a time
        after each look that led to nothing, and for the shortest again after one that did: a week costs twenty looks.

        Raises:
            ValueError: The time is to go backwards.
        """
        if delta < timedelta(0):
            msg = f"advance({delta}): a clock cannot be set back"
            raise ValueError(msg)
        target = self._now + delta
        await self.settle()
        stretch, commits = 1, self._commits()
        while self._now < target or self._is_due():
            self._now = max(self._now, min(self._next_stop(target, stretch), target))
            self._wake()
            await self.settle()
            before, commits = commits, self._commits()
            stretch = min(2 * stretch, LONGEST_STRETCH) if commits == before else 1

    def _next_stop(self, target: datetime, stretch: int) -> datetime:
        """The moment that somebody waits for, or one after a rest that is stretched."""
        stops = [self._sleepers[0][0]] if self._sleepers else []
        longest = self._longest_rest()
        for since, span, _ in self._resting:
            put_off = target - since if longest is None else max(span, longest)
            stops.append(since + min(stretch * span, put_off))
        return min(stops, default=target)

    def _longest_rest(self) -> timedelta | None:
        """How long nobody need look: leases are renewed at the looks, and workers give each other a sign of life."""
        runners = self._runners()
        leases = [runner.options.lease for runner in runners]
        if any(not runner.is_vacant for runner in runners):
            return min(leases) / 3
        # Those of other namespaces are nobody to each other.
        workers = Counter(runner.options.namespace for runner in runners)
        return min(leases) * FORGOTTEN_AFTER / 2 if any(number > 1 for number in workers.values()) else None

    def _is_due(self) -> bool:
        return bool(self._sleepers) and self._sleepers[0][0] <= self._now

    def _wake(self) -> None:
        while self._is_due():
            heapq.heappop(self._sleepers)[2].set()
        rested, self._resting = self._resting, []
        for rest in rested:
            since, span, event = rest
            if since + span <= self._now:
                event.set()
            else:
                self._resting.append(rest)

    def _runners(self) -> list[Runner]:
        hosts = [
            host
            for host in open_hosts
            if isinstance(host, Runtime) and host.is_open and host.runner.clock is self
        ]
        return [runner for host in hosts for runner in host.runners]

    def _commits(self) -> int:
        return sum(runner.commits for runner in self._runners())

    async def settle(self) -> None:
        """Wait until the runtimes have done all there is to do at this moment."""
        runners = self._runners()
        quiet, seen = 0, -1
        patience = anyio.current_time() + BODY_PATIENCE
        while quiet < QUIET_TURNS:
            await checkpoint()
            commits = sum(runner.commits for runner in runners)
            if any(runner.in_thread for runner in runners) and anyio.current_time() < patience:
                await anyio.sleep(BREATH)
                quiet = 0
            elif commits != seen or any(not runner.is_idle for runner in runners):
                await anyio.sleep(BREATH)
                quiet, seen = 0, commits
            else:
                quiet += 1
