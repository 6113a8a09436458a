"""Waits end at their time, whichever process began them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from phaseline._engine.commands import Elapse
from phaseline._shell.background import survived
from phaseline._shell.clock import Earliest
from phaseline._shell.paging import page_by_page
from phaseline._shell.reconcile import reconcile
from phaseline.abc import DueWait
from phaseline.event_loop import new_event
from phaseline.times import later

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.timers")

TOO_EARLY = timedelta(milliseconds=5)
"""Before the next look, where this machine's clock is a little ahead of the storage's."""


class WaitTimers:
    """Looks for waits whose time has come: when one is known to be due, and whenever somebody says so.

    What is due is read from the storage, so that nothing of a run is kept here while it waits.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._wake = new_event()
        self._next = Earliest()
        self._known = frozenset(definition for definition, plan in runner.plans.items() if plan.waits)
        if self._known:
            runner.on_due = self.look_at

    def serve(self) -> None:
        """Begin to look, if any pipeline here has something to wait for."""
        if self._known:
            self._runner.spawn(self._look_for_ever)
            self.look()

    def look(self) -> None:
        """Look soon; on the event loop."""
        self._wake.set()

    def look_at(self, moment: datetime) -> None:
        """Look when a wait falls due."""
        if moment <= self._runner.clock.now():
            self._wake.set()
        else:
            self._next.at(moment, self._runner.timers, self.look)

    async def _look_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = new_event()
            with survived(
                log, "waits that are due could not be ended, and are later", self._runner.note_miss
            ):
                await self._end_what_is_due()

    async def _end_what_is_due(self) -> None:
        runner = self._runner

        async def read(limit: int) -> Sequence[DueWait]:
            namespace, now = runner.options.namespace, runner.clock.sql_now()
            found = await runner.read(partial(runner.storage.due, namespace, now, self._known, limit))
            if found.next_due is not None:
                self.look_at(max(found.next_due, later(runner.clock.now(), TOO_EARLY)))
            return found.waits

        await page_by_page(read, self._end)

    async def _end(self, waits: Iterable[DueWait]) -> None:
        by_run: dict[str, list[tuple[str, datetime]]] = {}
        for wait in waits:
            by_run.setdefault(wait.run_id, []).append((wait.path, wait.due_at))
        for run_id, found in by_run.items():
            await reconcile(self._runner, run_id, Elapse(tuple(found)))
