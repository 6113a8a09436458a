"""The clock of a process goes by the storage's time, as exactly as the answers tell it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from phaseline._shell import clock
from phaseline._shell.clock import SystemClock

AHEAD = 1_800_000_000.0
"""Seconds by which the storage's time is ahead of the steady clock."""


class Steady:
    """A steady clock that is moved by hand, and a storage whose answers take their time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(clock, "_steady", lambda: self.now)

    def storage(self, before: float, after: float, *, off: float = 0.0) -> Callable[[], datetime]:
        """Tell the time so many seconds after the question, and so many before the answer is there."""

        def ask() -> datetime:
            self.now += before
            told = datetime.fromtimestamp(AHEAD + off + self.now, UTC)
            self.now += after
            return told

        return ask

    def error(self, here: SystemClock) -> float:
        """Seconds by which a clock is ahead of the storage."""
        return round(here.now().timestamp() - AHEAD - self.now, 4)


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    """One that stands."""
    return Steady(monkeypatch)


@pytest.mark.parametrize("wall", [-3_600.0, 0.0, 3_600.0])
def test_a_wall_clock_that_is_wrong_does_not_matter(
    steady: Steady, monkeypatch: pytest.MonkeyPatch, wall: float
) -> None:
    """The first answer sets it right, to within the time that this took."""
    monkeypatch.setattr("time.time", lambda: AHEAD + steady.now + wall)
    here = SystemClock()
    assert steady.error(here) == wall
    here.follow(steady.storage(0.01, 0.02))
    assert -0.02 <= steady.error(here) <= 0.01


@pytest.mark.parametrize(("before", "after"), [(0.0, 5.0), (5.0, 0.0), (2.0, 3.0)])
def test_an_answer_that_took_long_changes_nothing_that_may_be_right(
    steady: Steady, before: float, after: float
) -> None:
    """The process may have been stopped meanwhile, before the storage told its time or after."""
    here = SystemClock()
    here.follow(steady.storage(0, 0))
    here.follow(steady.storage(before, after))
    assert steady.error(here) == 0


@pytest.mark.parametrize("jump", [-60.0, 60.0])
def test_it_follows_where_the_clock_of_the_storage_is_set(steady: Steady, jump: float) -> None:
    """Back, too."""
    here = SystemClock()
    here.follow(steady.storage(0, 0))
    here.follow(steady.storage(0.01, 0.01, off=jump))
    assert abs(steady.error(here) - jump) <= 0.01
