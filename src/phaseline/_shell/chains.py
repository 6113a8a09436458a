"""Tasks that call the bodies of phases, one after another."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from phaseline._shell.live import Interruption, Job
from phaseline._shell.standby import Standby
from phaseline.loops import is_asyncio, scope_class

INSIST = 0.05
"""Seconds after which a task that is to end, and has not, is told again."""


class Chain:
    """A body, and what follows it here without a detour."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        """What is called, or committed, at the moment; None at the end."""

    def stopped_at(self) -> Job | None:
        """Where it stands when nobody goes on with it; a call, for it changes while one waits."""
        return self.job

    def cancel_body(self) -> bool:
        """Cancel the body that is being called; gives whether one is."""
        seat = None if self.job is None else self.job.seat
        if seat is not None:
            seat.cancel()
        return seat is not None


Going = Coroutine[Any, Any, None]


@attrs.frozen
class Drive:
    """How a chain is carried out."""

    whole: Callable[[Chain], Going]
    """To its end, whatever comes."""
    seated: Callable[[Chain, anyio.CancelScope], Going]
    """In a scope of the caller's: to its end, or until its body is interrupted."""
    rest: Callable[[Chain], Going]
    """What is left of it after that, to its end."""


class Crew(ABC):
    """Gives each chain a task, which ends with a task group at the latest; what it raises, the group raises."""

    @abstractmethod
    def start(self, chain: Chain) -> None:
        """Carry a chain out in a task of its own, beginning at its first turn."""

    def start_now(self, chain: Chain) -> None:
        """Carry a chain out, beginning at once where that is possible; for who waits for its end anyway."""
        self.start(chain)


class GroupCrew(Crew):
    """Has the group make the tasks."""

    def __init__(self, group: TaskGroup, drive: Drive) -> None:
        self._group, self._drive = group, drive

    def start(self, chain: Chain) -> None:
        self._group.start_soon(self._drive.whole, chain)


class AsyncioCrew(Crew):
    """Makes tasks of asyncio itself: those of an anyio group cost seven times as much, which is more than a phase."""

    def __init__(self, group: TaskGroup, drive: Drive) -> None:
        self._group, self._drive = group, drive
        self._loop = asyncio.get_running_loop()
        self._chains: dict[asyncio.Task[None], Chain] = {}
        self._is_ending = False
        self._scope = scope_class()
        self._standby: Standby | None = self._new_standby()
        self._is_beginning = False
        group.start_soon(self._end_with_group)

    def start(self, chain: Chain) -> None:
        if self._loop.get_task_factory() is not None:  # it may begin a task at once, in the midst of a commit
            self._group.start_soon(self._drive.whole, chain)
        else:
            self._mind(self._loop.create_task(self._drive.whole(chain)), chain)

    def start_now(self, chain: Chain) -> None:
        standby = self._standby
        if standby is None or standby.task.done():
            self._standby = self._new_standby()
        if self._is_beginning or standby is None or not standby.is_ready or self._loop.get_task_factory():
            self.start(chain)
            return
        self._is_beginning = True  # what the body starts in its turn has a task of its own
        try:
            has_ended = standby.begin(partial(self._drive.seated, chain), partial(self._drive.rest, chain))
        finally:
            self._is_beginning = False
        if not has_ended:
            self._mind(standby.task, chain)
            self._standby = self._new_standby()
        elif chain.stopped_at() is not None:
            self.start(chain)

    def _new_standby(self) -> Standby | None:
        if self._is_ending or self._loop.get_task_factory() is not None:
            return None
        return Standby(self._loop, self._scope)

    def _mind(self, task: asyncio.Task[None], chain: Chain) -> None:
        self._chains[task] = chain
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        chain = self._chains.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._group.start_soon(_raise, error)
        job = chain.stopped_at()
        if task.cancelled() and not self._is_ending and job is not None and (job.is_called or job.is_left):
            job.interrupt(Interruption.CANCELLED)  # nobody but its body can have cancelled the task
            self.start(chain)

    async def _end_with_group(self) -> None:
        """Cancel what is left when the group is: bodies by their scope, which minds their shields, all else itself."""
        try:
            await anyio.sleep_forever()
        finally:
            self._is_ending = True
            with anyio.CancelScope(shield=True):
                if self._standby is not None:
                    self._standby.task.cancel()
                    await asyncio.wait([self._standby.task])
                while self._chains:
                    for task, chain in self._chains.items():
                        if not chain.cancel_body():
                            task.cancel()
                    await asyncio.wait(self._chains, timeout=INSIST)


async def _raise(error: BaseException) -> None:
    raise error


def crew_of(group: TaskGroup, drive: Drive) -> Crew:
    """Make the crew that is cheapest on the event loop that runs here."""
    return AsyncioCrew(group, drive) if is_asyncio() else GroupCrew(group, drive)
