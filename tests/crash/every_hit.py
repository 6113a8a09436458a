"""A process is killed at every passing of each fault point: ``python -m nox -s crash``, too long for the suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash.scene import Scene
from tests.crash.strike import NEVER, RUNS, strike

from phaseline.abc import FAULT_POINTS

AT_LEAST = {"body.begin": 6 * RUNS, "body.end": 6 * RUNS}
"""Passings that do not depend on how batches gather: five bodies and a second try of one in each run."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_killed_at_every_passing(dialect: str, point: str, make_scene: Callable[[], Scene]) -> None:
    """Wherever it dies, another process goes on; until one runs through, since there is no such passing any more."""
    if point in NEVER[dialect]:
        return
    hit = 1
    while strike(make_scene(), point, hit) is None:
        hit += 1
    assert hit > AT_LEAST.get(point, 1), f"{point} was passed {hit - 1} times only"
