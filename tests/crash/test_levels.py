"""Three processes look for what is late; one of them is killed while it holds a phase that is."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest
from tests.crash.scene import Scene

PROCESSES, RUNS = 3, 9
ORDERS = ("late", "--runs", str(RUNS), "--concurrency", "1")
TOLD = "SELECT phase, count(*) FROM phaseline_event WHERE type = 'SLA_BREACHED' GROUP BY phase"


@pytest.mark.timeout(120)
def test_it_is_told_once_what_is_late(scene: Scene) -> None:
    """Of each run and each phase, whoever held it or had yet to take it up, however many look, and whoever died."""
    children = [scene.begin(*ORDERS) for _ in range(PROCESSES)]
    deadline = time.monotonic() + 40
    while not told(scene):
        assert time.monotonic() < deadline, "nothing is told"
        time.sleep(0.01)
    victim = children.pop()
    os.kill(victim.pid, signal.SIGKILL)
    assert scene.ended(victim).status == -signal.SIGKILL
    children.append(scene.begin(*ORDERS))
    found = [scene.ended(child).answer()["found"] for child in children]
    assert found == [[["COMPLETED", number] for number in range(RUNS)]] * PROCESSES
    assert Counter(run.state for run in scene.check()) == {"COMPLETED": RUNS}  # which looks at each of them
    assert told(scene) == {None: RUNS, "dawdle": RUNS}


def told(scene: Scene) -> dict[str | None, int]:
    """How often it was told, by phase; none for runs. Nothing while the tables are made."""
    with scene.storage() as storage, storage._reading() as ask:
        return dict(map(tuple, ask(TOLD)))
