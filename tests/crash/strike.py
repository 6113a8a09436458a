"""Kill a process at a fault point, have another one go on, and check everything that is left."""

from __future__ import annotations

import signal
from collections import Counter

from tests.crash.scene import Scene

from phaseline.abc import FAULT_POINTS

RUNS = 4
ORDERS = ("order", "--runs", str(RUNS))
ENDS = [["COMPLETED", 30 * (number + 1)] for number in range(RUNS)]
NEVER: dict[str, frozenset[str]] = {"sqlite": frozenset(), "postgres": frozenset()}
"""Points that a dialect never passes. PostgreSQL writes a batch in one statement, so that it passes
``transaction.written`` in claims and in the lists of workers alone; but there it does."""


def passed_undisturbed(scene: Scene) -> Counter[str]:
    """How often each point is passed where nothing happens."""
    answer = scene.run(*ORDERS).answer()
    assert answer["found"] == ENDS
    return Counter(answer["passed"])


def points_of(dialect: str) -> list[str]:
    """The points that a dialect passes."""
    return [point for point in FAULT_POINTS if point not in NEVER[dialect]]


def strike(scene: Scene, point: str, hit: int) -> Counter[str] | None:
    """Carry orders out in a process that dies at the hit-th passing of a point, and then in another one.

    Returns:
        None; or, where the first process ended by itself, how often it passed the points: there was no such hit.
    """
    victim = scene.run(*ORDERS, "--die", f"{point}:{hit}")
    if victim.status == 0:
        return Counter(victim.answer()["passed"])
    assert victim.status == -signal.SIGKILL, victim.told
    assert scene.run(*ORDERS).answer()["found"] == ENDS
    states = [run.state for run in scene.check()]
    assert states == ["COMPLETED"] * RUNS  # none is missing, and no key has two
    return None
