"""Fault points are counted, and strike where they were told to and nowhere else."""

from __future__ import annotations

import pytest

from phaseline.storage.memory import MemoryStorage
from phaseline.testing.faults import Faults


def test_strikes_at_the_hit_alone() -> None:
    """The second time of three, and each is counted."""
    storage, struck = MemoryStorage(), list[int]()
    faults = Faults(storage)
    faults.at("body.begin", lambda: struck.append(faults.passed["body.begin"]), hit=2)
    for _ in range(3):
        storage.reach("body.begin")
    assert (struck, faults.struck, faults.passed) == ([2], ["body.begin"], {"body.begin": 3})


def test_strikes_from_now_on_until_it_is_disarmed() -> None:
    """A lasting fault begins and ends when the test says so."""
    storage = MemoryStorage()
    faults = Faults(storage)
    storage.reach("body.end")
    faults.from_now_on("body.end", lambda: None)
    storage.reach("body.end")
    storage.reach("body.end")
    faults.disarm()
    storage.reach("body.end")
    assert (faults.struck, faults.passed) == (["body.end"] * 2, {"body.end": 4})


def test_refuses_a_point_that_is_not_there() -> None:
    """A misspelt fault would strike nobody."""
    with pytest.raises(ValueError, match=r"no fault point 'comit\.end'; there are: .*commit\.end"):
        Faults(MemoryStorage()).at("comit.end", lambda: None)
