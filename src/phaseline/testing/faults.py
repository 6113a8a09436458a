"""Faults at named moments: a test arms them in its own process, and nothing else can."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable

from phaseline.abc import FAULT_POINTS, Storage


class Faults:
    """Counts the fault points of a storage and its runtime as they are passed, and strikes where it was told to."""

    def __init__(self, storage: Storage) -> None:
        """Arm a storage; do it before a runtime is made of it."""
        self.passed: Counter[str] = Counter()
        """How often each point was reached."""
        self.struck: list[str] = []
        """Points whose fault was carried out: a test whose fault is not among them has tested nothing."""
        self._armed: dict[str, list[tuple[range, Callable[[], object]]]] = {}
        storage.reach = self._reach

    def at(self, point: str, action: Callable[[], object], *, hit: int = 1, times: int = 1) -> None:
        """Carry out ``action`` when ``point`` is reached for the ``hit``-th time, in the thread that reaches it.

        Args:
            point: One of ``phaseline.abc.FAULT_POINTS``.
            action: May raise, sleep, or end the process.
            hit: Counted from the making of this object.
            times: How often in a row.

        Raises:
            ValueError: There is no such point.
        """
        if point not in FAULT_POINTS:
            msg = f"there is no fault point {point!r}; there are: {', '.join(FAULT_POINTS)}"
            raise ValueError(msg)
        self._armed.setdefault(point, []).append((range(hit, hit + times), action))

    def from_now_on(self, point: str, action: Callable[[], object]) -> None:
        """Carry out ``action`` whenever ``point`` is reached, until ``disarm``."""
        self.at(point, action, hit=self.passed[point] + 1, times=1_000_000)

    def disarm(self) -> None:
        """Strike no more."""
        self._armed.clear()

    def _reach(self, point: str) -> None:
        self.passed[point] += 1
        for hits, action in self._armed.get(point, ()):
            if self.passed[point] in hits:
                self.struck.append(point)
                action()


def die() -> None:
    """End this process at once, as a power cut does: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
