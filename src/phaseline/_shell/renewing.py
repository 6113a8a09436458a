"""Leases are extended from a thread, so that neither a blocked loop nor a busy body loses them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from phaseline._shell.background import survived

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.worker")

RENEWALS_PER_LEASE = 3
GRACE = 2.0
"""Seconds that a renewal under way has to end at the close."""


class Renewer:
    """Extends those of the workers that share a storage, whose leases are equally long; its thread lasts as long as there are some."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._runners: tuple[Runner, ...] = ()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, runner: Runner) -> None:
        """Extend the leases of a worker from now on."""
        with self._changing:
            self._runners = (*self._runners, runner)
            if self._thread is None:
                self._stopped = threading.Event()
                lease = runner.options.lease.total_seconds()
                self._thread = threading.Thread(
                    target=self._work,
                    args=(self._stopped, lease / RENEWALS_PER_LEASE),
                    name="phaseline-renewer",
                    daemon=True,
                )
                self._thread.start()

    def remove(self, runner: Runner) -> None:
        """Extend them no more; of the last worker, what is being renewed ends first, within a bound: the storage may be closed then."""
        with self._changing:
            self._runners = tuple(each for each in self._runners if each is not runner)
            thread = None if self._runners else self._thread
            if thread is not None:
                self._stopped.set()
                self._thread = None
        if thread is not None:
            thread.join(GRACE)

    def _work(self, stopped: threading.Event, pause: float) -> None:
        while not stopped.wait(pause):
            for runner in self._runners:
                with survived(log, "leases could not be renewed and are tried again"):
                    runner.renew()
