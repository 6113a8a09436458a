"""Leases are extended from threads, so that neither a blocked loop nor a busy body loses them."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from phaseline._shell.background import survived

if TYPE_CHECKING:
    from phaseline._shell.runner import Runner

log: Final = logging.getLogger("phaseline.worker")

RENEWALS_PER_LEASE = 3
SHARE = 8
"""Workers whose leases one thread extends, one after the other: all of them within a lease, also where the storage is slow."""
GRACE = 2.0
"""Seconds that a renewal under way has to end at the close."""


class Renewer:
    """Extends those of the workers that share a storage, and whose leases are equally long."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._shares: list[_Share] = []

    def add(self, runner: Runner) -> None:
        """Extend the leases of a worker from now on.

        Raises:
            RuntimeError: No more threads can be had.
        """
        with self._changing:
            share = next((share for share in self._shares if len(share.runners) < SHARE), None)
            if share is None:
                share = _Share(runner)
                self._shares.append(share)
            else:
                share.runners = (*share.runners, runner)

    def remove(self, runner: Runner) -> None:
        """Extend them no more; where a thread has no others, what it renews ends first, within a bound: the storage may be closed then."""
        with self._changing:
            share = next((share for share in self._shares if runner in share.runners), None)
            if share is None:
                return
            share.runners = tuple(each for each in share.runners if each is not runner)
            if share.runners:
                return
            self._shares.remove(share)
        share.stop()


class _Share:
    """A thread that lasts as long as there are workers for it."""

    def __init__(self, runner: Runner) -> None:
        self.runners: tuple[Runner, ...] = (runner,)
        self._pause = runner.options.lease.total_seconds() / RENEWALS_PER_LEASE
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="phaseline-renewer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(GRACE)

    def _work(self) -> None:
        begun = time.monotonic()
        while not self._stopped.wait(max(0.0, begun + self._pause - time.monotonic())):
            begun = time.monotonic()  # a round that takes long does not put off the next one
            for runner in self.runners:
                if self._stopped.is_set():
                    return
                if runner in self.runners:  # it may have been removed meanwhile
                    with survived(log, "leases could not be renewed and are tried again"):
                        runner.renew()
