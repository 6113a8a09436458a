"""Runs whose time is over are ended, whether or not a process is busy with them."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from phaseline._engine.commands import Expire
from phaseline._shell.background import survived
from phaseline._shell.clock import Timer
from phaseline._shell.tending import tend

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.overdue")

PAGE = 500


class Overdue:
    """Finds them: at each sweep, and at the moment that the next one is known to be due."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._next: tuple[datetime, Timer] | None = None
        runner.on_expiry = self.look_at

    def look_at(self, moment: datetime) -> None:
        """Look when the time of a run is over."""
        if self._next is not None:
            if self._next[0] <= moment:
                return
            self._next[1].cancel()
        self._next = moment, self._runner.timers.at(moment, self._look)

    def _look(self) -> None:
        self._next = None
        self._runner.spawn(self._end_safely)

    async def _end_safely(self) -> None:
        with survived(log, "runs whose time is over could not be ended, and are at the next sweep"):
            await self.end()

    async def end(self) -> None:
        """End them all.

        A clock that is behind the storage's may judge that one has time left; then it is found again.
        """
        runner, seen = self._runner, set[str]()
        known = frozenset(runner.plans)
        while True:
            read = partial(
                runner.storage.overdue, runner.options.namespace, runner.clock.sql_now(), known, PAGE
            )
            found = await runner.read(read)
            new = [run_id for run_id in found.run_ids if run_id not in seen]
            for run_id in new:
                await tend(runner, run_id, Expire(), read_again=True)
            seen.update(new)
            if len(found.run_ids) < PAGE or not new:
                break
        if found.next_due is not None:
            self.look_at(found.next_due)
