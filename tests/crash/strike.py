"""Kill a process at a fault point, have another one go on, and check everything that is left."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence

import attrs
from tests.crash.scene import Scene

from phaseline.rows import INPUT, PhaseState

RUNS = 4


@attrs.frozen
class Work:
    """What is carried out once for each of the numbers from 0 on."""

    pipeline: str
    outputs: tuple[int, ...]
    """Of each of them."""
    skipped: tuple[tuple[str, ...], ...] = ((),) * RUNS
    """Of each of them, the phases that are left out."""
    bodies: int = 6
    """Calls of bodies, tests and counts, and starts of runs, for each of them."""
    children: int = 0
    """Runs that each of them starts, and those start in turn."""

    @property
    def command(self) -> tuple[str, ...]:
        """How a process is told to do it."""
        return (self.pipeline, "--runs", str(RUNS))

    @property
    def ends(self) -> Sequence[object]:
        """What a process tells that saw all of them end."""
        return [["COMPLETED", output] for output in self.outputs]


ORDERS = Work("order", tuple(30 * (number + 1) for number in range(RUNS)))
SHAPES = Work(
    "shapes", (34, 64, 95, 125), (("by_truck",), ("by_truck",), ("by_hand",), ("by_hand",)), bodies=11
)
"""A diamond, a map, a branch and a sleep."""
FAMILIES = Work("family", ORDERS.outputs, bodies=10, children=4)
"""A run that waits for one which waits for three."""


def passed_undisturbed(scene: Scene, work: Work = ORDERS) -> Counter[str]:
    """How often each point is passed where nothing happens."""
    answer = scene.run(*work.command).answer()
    assert answer["found"] == work.ends
    return Counter(answer["passed"])


def strike(scene: Scene, point: str, hit: int, work: Work = ORDERS) -> Counter[str] | None:
    """Carry orders out in a process that dies at the hit-th passing of a point, and then in another one.

    Returns:
        None; or, where the first process ended by itself, how often it passed the points: there was no such hit.
    """
    victim = scene.run(*work.command, "--die", f"{point}:{hit}")
    if victim.status == 0:
        return Counter(victim.answer()["passed"])
    assert victim.status == -signal.SIGKILL, victim.told
    assert scene.run(*work.command).answer()["found"] == work.ends
    runs = scene.check()
    # None is missing, no key has two, and nobody started a run twice.
    assert [run.state for run in runs] == ["COMPLETED"] * RUNS * (1 + work.children)
    assert sum(run.parent_id is not None for run in runs) == RUNS * work.children
    left_out(scene, work)
    return None


def left_out(scene: Scene, work: Work) -> None:
    """What was skipped stays skipped, and nobody called it, before the crash or after it."""
    begun = {(effect.run_id, effect.phase) for effect in scene.journal.read()[0]}
    with scene.storage() as storage:
        for run in [run for run in storage.find("default", limit=1_000) if run.parent_id is None]:
            number = int(storage.values(run.namespace, run.id, (INPUT,))[INPUT])
            rows = storage.load(run.namespace, run.id)
            assert rows is not None
            skipped = {row.path for row in rows.phases if row.state is PhaseState.SKIPPED}
            assert skipped == set(work.skipped[number])
            assert not {(run.id, path) for path in skipped} & begun
