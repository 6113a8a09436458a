"""Threads that extend leases: as many as are needed, for as long."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from phaseline._shell.renewing import SHARE, Renewer

PATIENCE = 10.0


class Held:
    """A runner, as far as its leases go."""

    def __init__(self, renewed: Counter[int], number: int, *, breaks: bool = False) -> None:
        self.options = SimpleNamespace(lease=timedelta(seconds=0.06))
        self._renewed, self._number, self._breaks = renewed, number, breaks

    def renew(self) -> None:
        """Count it."""
        self._renewed[self._number] += 1
        if self._breaks:
            raise ZeroDivisionError


def threads() -> int:
    return sum(thread.name == "phaseline-renewer" for thread in threading.enumerate())


def until(condition: Any) -> None:
    over = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < over
        time.sleep(0.005)


def test_a_few_share_a_thread() -> None:
    """And when the last of them is gone it has ended."""
    renewed = Counter[int]()
    runners: list[Any] = [Held(renewed, number) for number in range(SHARE + 1)]
    renewer = Renewer()
    for runner in runners:
        renewer.add(runner)
    assert threads() == 2
    until(lambda: all(renewed[number] > 1 for number in range(SHARE + 1)))
    renewer.remove(runners[0])
    seen = renewed[0]
    until(lambda: renewed[1] > seen + 3)
    assert renewed[0] <= seen + 1  # one may have been under way
    for runner in runners[1:]:
        renewer.remove(runner)
        renewer.remove(runner)  # it is gone already
    assert threads() == 0
    at_the_end = renewed.copy()
    time.sleep(0.1)
    assert renewed == at_the_end


def test_one_that_fails_holds_up_no_other(caplog: Any) -> None:
    """It is tried again, and logged."""
    renewed = Counter[int]()
    runners: list[Any] = [Held(renewed, 0, breaks=True), Held(renewed, 1)]
    renewer = Renewer()
    for runner in runners:
        renewer.add(runner)
    until(lambda: min(renewed[0], renewed[1]) > 2)
    for runner in runners:
        renewer.remove(runner)
    assert "leases could not be renewed and are tried again" in caplog.text


def test_who_was_removed_amid_a_round_is_not_in_it() -> None:
    """Its storage may be closed by then."""
    renewed = Counter[int]()
    renewer = Renewer()
    second: Any = Held(renewed, 1)

    class First(Held):
        def renew(self) -> None:
            renewer.remove(second)
            super().renew()

    first: Any = First(renewed, 0)
    renewer.add(first)
    renewer.add(second)
    until(lambda: renewed[0] > 3)
    renewer.remove(first)
    assert renewed[1] == 0
