"""What comes to its time by itself is seen to, whether or not a process is busy with it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from phaseline._shell.background import survived
from phaseline._shell.clock import Earliest
from phaseline._shell.paging import page_by_page
from phaseline.rows import Definition

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.due")

T = TypeVar("T", bound=Hashable)
Found = tuple[Sequence[T], datetime | None]
"""What has come to its time, and when the next one does."""


class DueScan(Generic[T]):
    """Finds it: at each sweep, and at the moment that the next one is known to be due."""

    def __init__(
        self,
        runner: Runner,
        known: Collection[Definition],
        read: Callable[[datetime | None, Collection[Definition], int], Found[T]],
        see_to: Callable[[Sequence[T]], Awaitable[None]],
        trouble: str,
    ) -> None:
        """Watch over runs.

        Args:
            runner: Of this process.
            known: Definitions of the runs that are watched; where there are none, nothing is ever read.
            read: Reads at most so many of what is due at a moment, or by the storage's own clock.
            see_to: Does what is to be done with what was found.
            trouble: What is logged where it cannot be done.
        """
        self._runner, self._known = runner, known
        self._read, self._see_to, self._trouble = read, see_to, trouble
        self._next = Earliest()

    def look_at(self, moment: datetime) -> None:
        """Look at a moment."""
        self._next.at(moment, self._runner.timers, self._look)

    def _look(self) -> None:
        self._runner.spawn(self._look_safely)

    async def _look_safely(self) -> None:
        with survived(log, self._trouble, self._runner.note_miss):
            await self.look()

    async def look(self) -> None:
        """See to all that is due.

        A clock that is behind the storage's may judge that something has time left; then it is found again.
        """
        if not self._known:
            return
        runner, following = self._runner, None

        async def read(limit: int) -> Sequence[T]:
            nonlocal following
            look = partial(self._read, runner.clock.sql_now(), self._known, limit)
            found, following = await runner.read(look)
            return found

        await page_by_page(read, self._see_to)
        if following is not None:
            self.look_at(following)
