"""A body that kills its process is given up after a number of crashes, and takes nobody with it."""

from __future__ import annotations

import signal

import pytest
from tests.crash.scene import Scene

from phaseline._shell.runner import RunnerOptions

RUNS = 4
LIMIT = RunnerOptions().crash_limit


@pytest.mark.timeout(120)
def test_poison(scene: Scene) -> None:
    """Its run fails once it has crashed more often than the limit allows; the other runs complete."""
    deaths = 0
    while (child := scene.run("bomb", "--runs", str(RUNS))).status != 0:
        assert child.status == -signal.SIGKILL, child.told
        deaths += 1
        assert deaths <= LIMIT + 1, "it is never given up"
    found = child.answer()["found"]
    assert found == [["FAILED", None], *(["COMPLETED", number] for number in range(1, RUNS))]
    assert deaths == LIMIT + 1
    errors = [run.error.type for run in scene.check() if run.error is not None]
    assert errors == ["WorkerLost"]
