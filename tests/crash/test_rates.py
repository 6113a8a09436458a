"""Four processes carry out runs that share a rate; some are killed in the middle of it."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from tests.crash.scene import Scene

from phaseline.storage.sql import rows

PROCESSES, RUNS, RATE, PER, KILLS = 4, 40, 8, timedelta(seconds=1), 3
ORDERS = (
    "hold", "--runs", str(RUNS), "--limit-key", "customer 7", "--rate", str(RATE), "--per", str(PER.total_seconds()),
)  # fmt: skip
STARTS = "SELECT at FROM phaseline_event WHERE type = 'PHASE_STARTED' ORDER BY at"


@pytest.mark.timeout(150)
def test_no_more_are_begun_than_the_rate_says(scene: Scene) -> None:
    """In no span of time, by the clock of the database, whoever dies; what waits for its time is taken up at it."""
    children = [scene.begin(*ORDERS) for _ in range(PROCESSES)]
    for number in range(KILLS):
        until_begun(scene, RATE * (number + 1) + number)
        child = children.pop(0)
        os.kill(child.pid, signal.SIGKILL)
        assert scene.ended(child).status == -signal.SIGKILL
        children.append(scene.begin(*ORDERS))
    found = [scene.ended(child).answer()["found"] for child in children]
    assert found == [[["COMPLETED", number] for number in range(RUNS)]] * PROCESSES
    assert Counter(run.state for run in scene.check()) == {"COMPLETED": RUNS}

    starts = [rows.time_of(at) for (at,) in scene.select(STARTS)]
    spans = [last - first for first, last in zip(starts, starts[RATE:], strict=False)]
    assert min(spans) >= PER
    assert len(starts) >= RUNS, "each run was begun at least once"
    assert min(last - first for first, last in zip(starts, starts[RATE - 1 :], strict=False)) < PER, (
        "the rate was never used to the full"
    )


def until_begun(scene: Scene, count: int) -> None:
    """Wait until so many bodies were granted."""
    deadline = time.monotonic() + 40
    while len(scene.select(STARTS)) < count:
        assert time.monotonic() < deadline, "nothing goes on"
        time.sleep(0.01)
