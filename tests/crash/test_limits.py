"""Four processes carry out runs that share a limit of two; some are killed in the middle of it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest
from tests.crash.nursery import Child
from tests.crash.scene import Scene

PROCESSES, RUNS, LIMIT, KILLS = 4, 60, 2, 3
ORDERS = ("hold", "--runs", str(RUNS), "--limit-key", "customer 7", "--limit", str(LIMIT))


@pytest.mark.timeout(150)
def test_never_more_at_once_than_the_limit(scene: Scene) -> None:
    """Whoever dies; and no slot stays with the dead, so that all runs complete."""
    children = [scene.begin(*ORDERS) for _ in range(PROCESSES)]
    killed: dict[int, int] = {}
    for number in range(KILLS):
        until_begun(scene, 8 * (number + 1))
        child = running(scene, children)
        killed[child.pid] = time.monotonic_ns()  # it is dead, and its slot free, a moment later
        os.kill(child.pid, signal.SIGKILL)
        assert scene.ended(child).status == -signal.SIGKILL
        children.remove(child)
        children.append(scene.begin(*ORDERS))
    found = [scene.ended(child).answer()["found"] for child in children]
    assert found == [[["COMPLETED", number] for number in range(RUNS)]] * PROCESSES
    assert Counter(run.state for run in scene.check()) == {"COMPLETED": RUNS}

    at_once: Counter[int] = Counter()
    most, interrupted = 0, 0
    events = [*counted(scene), *((at, pid, "x") for pid, at in killed.items())]
    for _, pid, sign in sorted(events):
        if sign == "x":
            interrupted += at_once.pop(pid, 0)
        else:
            at_once[pid] += 1 if sign == "+" else -1
        most = max(most, at_once.total())
    assert most == LIMIT
    assert interrupted >= 1, "no process was killed that held a slot"
    assert at_once.total() == 0


def counted(scene: Scene) -> list[tuple[int, int, str]]:
    """When which process began or ended a body."""
    path = scene.journal.counts
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(at), int(pid), sign) for at, pid, sign in map(str.split, lines)]


def until_begun(scene: Scene, count: int) -> None:
    """Wait until so many bodies have begun."""
    deadline = time.monotonic() + 40
    while sum(sign == "+" for _, _, sign in counted(scene)) < count:
        assert time.monotonic() < deadline, "nothing goes on"
        time.sleep(0.002)


def running(scene: Scene, children: list[Child]) -> Child:
    """A process that runs a body at this moment."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        now = Counter[int]()
        for _, pid, sign in counted(scene):
            now[pid] += 1 if sign == "+" else -1
        for child in children:
            if now[child.pid] > 0:
                return child
    raise AssertionError("no process runs a body")
