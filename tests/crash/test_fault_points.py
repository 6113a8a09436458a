"""A process is killed at the first and at the last passing of each fault point; ``every_hit.py`` tries all between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from tests.crash.scene import Scene
from tests.crash.strike import FAMILIES, SHAPES, Work, passed_undisturbed, strike

from phaseline.abc import FAULT_POINTS

TRIES = 6
"""Processes in a row that may pass a point less often than the one before: batches gather differently each time."""


@pytest.fixture(params=[SHAPES, FAMILIES], ids=lambda work: work.pipeline)
def work(request: pytest.FixtureRequest) -> Work:
    """A diamond, a map, a branch and a sleep; and runs that start runs."""
    return request.param


@pytest.fixture(scope="session")
def remembered() -> dict[tuple[str, str], Counter[str]]:
    """How often points are passed, by dialect and pipeline, once it was found out."""
    return {}


@pytest.fixture
def undisturbed(
    dialect: str,
    work: Work,
    make_scene: Callable[[], Scene],
    remembered: dict[tuple[str, str], Counter[str]],
) -> Counter[str]:
    """How often each point is passed by a process that lives on."""
    known = dialect, work.pipeline
    if known not in remembered:
        remembered[known] = passed_undisturbed(make_scene(), work)
    return remembered[known]


def test_every_point_is_passed(dialect: str, undisturbed: Counter[str]) -> None:
    """A test of a point that nobody passes would test nothing."""
    assert set(undisturbed) == set(FAULT_POINTS)


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_killed_at_the_first_passing(
    dialect: str, work: Work, point: str, make_scene: Callable[[], Scene]
) -> None:
    """Another process goes on with what is stored, and starts what is not."""
    assert strike(make_scene(), point, 1, work) is None, f"{point} was not passed"


@pytest.mark.parametrize("point", FAULT_POINTS)
def test_killed_at_the_last_passing(
    dialect: str, work: Work, point: str, make_scene: Callable[[], Scene], undisturbed: Counter[str]
) -> None:
    """When almost everything is done, only the rest is done by another process."""
    hit = undisturbed[point]
    for _ in range(TRIES):
        passed = strike(make_scene(), point, hit, work)
        if passed is None:
            return
        hit = passed[point]
    pytest.fail(f"{point} was passed less and less often, the last time {hit} times")
