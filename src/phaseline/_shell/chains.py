"""Tasks that call the bodies of phases, one after another."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from phaseline._shell.live import Interruption, Job
from phaseline.event_loop import is_asyncio

log: Final = logging.getLogger("phaseline.runner")

INSIST = 0.05
"""Seconds after which a task that is to end, and has not, is told again."""


class Chain:
    """A body, and what follows it here without a detour."""

    __slots__ = ("job", "task")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        """What is called, or committed, at the moment; None at the end."""
        self.task: asyncio.Task[None] | None = None
        """What it runs in, where a body may cancel that: trio cancels by scopes alone."""

    def stopped_at(self) -> Job | None:
        """Where it stands when nobody goes on with it; a call, for it changes while one waits."""
        return self.job

    def cancel_body(self) -> bool:
        """Cancel the body that is being called; gives whether one is."""
        seat = None if self.job is None else self.job.seat
        if seat is not None:
            seat.cancel()
        return seat is not None

    async def takes_back_cancelling(self) -> bool:
        """Whether the body, which has returned, cancelled the task that it ran in; what follows is not to be met by that."""
        assert self.task is not None  # noqa: S101  # else there is nothing to take back
        try:
            await asyncio.sleep(0)  # that of a body which swallowed it, and did not say so, is over
        except asyncio.CancelledError:
            return True
        finally:
            while self.task.uncancel():
                pass
        return False


Drive = Callable[[Chain], Coroutine[Any, Any, None]]


class Crew(ABC):
    """Gives each chain a task, which ends with a task group at the latest."""

    @abstractmethod
    def start(self, drive: Drive, chain: Chain) -> None:
        """Call ``drive`` with the chain in a task of its own; what it raises, the group raises."""


class GroupCrew(Crew):
    """Has the group make the tasks."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group

    def start(self, drive: Drive, chain: Chain) -> None:
        self._group.start_soon(drive, chain)


class AsyncioCrew(Crew):
    """Makes tasks of asyncio itself: those of an anyio group cost seven times as much, which is more than a phase."""

    def __init__(self, group: TaskGroup) -> None:
        self._loop = asyncio.get_running_loop()
        self._chains: dict[asyncio.Task[None], Chain] = {}
        self._is_ending = False
        self._broken: asyncio.Future[None] = self._loop.create_future()
        """Has what a chain raised, for the group: a task cannot be begun in it where that is learnt, in no task of anyio's."""
        group.start_soon(self._end_with_group)

    def start(self, drive: Drive, chain: Chain) -> None:
        has_factory = self._loop.get_task_factory() is not None
        call = _in_its_turn(drive, chain) if has_factory else drive(chain)
        chain.task = task = self._loop.create_task(call)
        self._chains[task] = chain
        task.add_done_callback(partial(self._ended, drive))

    def _ended(self, drive: Drive, task: asyncio.Task[None]) -> None:
        chain = self._chains.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._broken.done():
            self._broken.set_exception(error)
        elif error is not None:
            log.error("a task that calls bodies failed while all of them were being ended", exc_info=error)
        job = chain.stopped_at()
        if task.cancelled() and not self._is_ending and job is not None and (job.is_called or job.is_left):
            job.interrupt(Interruption.CANCELLED)  # nobody but its body can have cancelled the task
            self.start(drive, chain)

    async def _end_with_group(self) -> None:
        """Cancel what is left when the group is: bodies by their scope, which minds their shields, all else itself."""
        try:
            await self._broken
        finally:
            self._is_ending = True
            with anyio.CancelScope(shield=True):
                while self._chains:
                    for task, chain in self._chains.items():
                        if not chain.cancel_body():
                            task.cancel()
                    await asyncio.wait(self._chains, timeout=INSIST)


async def _in_its_turn(drive: Drive, chain: Chain) -> None:
    """Do nothing yet: a factory of the host's may begin a task where it is made, which is in the midst of a commit."""
    await asyncio.sleep(0)
    await drive(chain)


def crew_of(group: TaskGroup) -> Crew:
    """Make the crew that is cheapest on the event loop that runs here."""
    return AsyncioCrew(group) if is_asyncio() else GroupCrew(group)
