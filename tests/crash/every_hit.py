"""A process is killed at every passing of each fault point: ``python -m nox -s crash``, too long for the suite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash.scene import Scene
from tests.crash.strike import FAMILIES, ORDERS, RUNS, SHAPES, Work, strike

from phaseline.abc import FAULT_POINTS

CALLS = frozenset({"body.begin", "body.end"})
"""Points whose passings do not depend on how batches gather."""


@pytest.mark.parametrize("work", [ORDERS, SHAPES, FAMILIES], ids=lambda work: work.pipeline)
@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", FAULT_POINTS)
def test_killed_at_every_passing(
    dialect: str, work: Work, point: str, make_scene: Callable[[], Scene]
) -> None:
    """Wherever it dies, another process goes on; until one runs through, since there is no such passing any more."""
    hit = 1
    while strike(make_scene(), point, hit, work) is None:
        hit += 1
    assert hit > (work.bodies * RUNS if point in CALLS else 1), f"{point} was passed {hit - 1} times only"
