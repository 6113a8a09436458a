"""Runs that could not be carried on, and are passed over for a while so that they hold up no others."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from phaseline.times import later

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.worker")

PAUSE: Final = timedelta(seconds=10)
"""How long they are passed over, from the last one on that was added."""
MOST: Final = 10_000
"""How many are, at most: each claim names them."""


class Quarantine:
    """The runs that this process leaves alone at the moment."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._run_ids: set[str] = set()
        self._until = runner.clock.now()

    def __contains__(self, run_id: str) -> bool:
        """Whether a run is among them."""
        return run_id in self._run_ids

    @property
    def run_ids(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._run_ids)

    def add(self, run_ids: Collection[str]) -> bool:
        """Leave runs alone; gives whether any is left alone from now on."""
        new = self._run_ids.union(run_ids)
        if len(new) == len(self._run_ids):
            return False
        if len(new) > MOST:
            log.error("more than %d runs cannot be carried on; what waits behind them is not begun", MOST)
            return False
        runner = self._runner
        self._until = later(runner.clock.now(), PAUSE)
        if not self._run_ids:
            runner.timers.at(self._until, self._look)
        self._run_ids = new
        return True

    def _look(self) -> None:
        """Forget them all, but not while more are met: who passes over one after another would meet the first ones again."""
        runner = self._runner
        if runner.clock.now() < self._until:
            runner.timers.at(self._until, self._look)
            return
        self._run_ids = set()
        if runner.on_waiting is not None:
            runner.on_waiting(runner.clock.now())
