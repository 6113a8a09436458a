"""A worker whose wall clock is wrong by an hour takes nothing too early, and nobody takes what is its own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.crash.scene import Scene

from phaseline.testing.accounts import Moment

RUNS = 4
SLOW = ("slow", "--runs", str(RUNS))
ENDS = [["COMPLETED", number] for number in range(RUNS)]
FAILED, WAIT = timedelta(seconds=1), timedelta(seconds=1.5)
"""How long the first try of a slow order takes until it fails, and the pause before the second."""
ANSWER = timedelta(seconds=0.1)
"""A process has the storage's time from an answer, and is behind by as long as that took; the next answer may be faster."""
DELAY = 1.5
PATIENCE = 30
HOUR = 3600


@pytest.fixture
def dialect() -> str:
    """PostgreSQL: a file has no clock of its own, its processes share that of their machine."""
    return "postgres"


def begins(scene: Scene, attempt: int) -> dict[str, datetime]:
    """When the bodies of each run began, by the clock of this machine."""
    effects, _ = scene.journal.read()
    return {
        effect.run_id: effect.at
        for effect in effects
        if (effect.moment, effect.attempt) == (Moment.BEGIN, attempt)
    }


def check_undisturbed(scene: Scene) -> None:
    """Each order failed once, waited, and was carried out; nobody lost a lease, and no retry came early."""
    assert [run.state for run in scene.check()] == ["COMPLETED"] * RUNS
    counted = scene.select("SELECT attempt, failures, crashes FROM phaseline_phase_execution")
    assert counted == [(2, 1, 0)] * RUNS
    stored = scene.select("SELECT available_at, started_at FROM phaseline_phase_execution")
    assert all(started >= due for due, started in stored)  # by the one clock that counts, to the microsecond
    first, second = begins(scene, 1), begins(scene, 2)
    assert len(first) == RUNS
    assert all(second[run_id] - first[run_id] >= FAILED + WAIT - ANSWER for run_id in first)


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_worker_with_a_wrong_clock(scene: Scene, off: int) -> None:
    """Beside one whose clock is right: leases and due times are of the database's time."""
    children = [scene.begin(*SLOW, "--clock-off", str(off)), scene.begin(*SLOW)]
    assert [ENDS, ENDS] == [scene.ended(child).answer()["found"] for child in children]
    check_undisturbed(scene)


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_a_submitter_with_a_wrong_clock(scene: Scene, off: int) -> None:
    """A process that only starts runs has them begun when it said: neither at once nor an hour later."""
    began = datetime.now(UTC)
    options = ("--submit-only", "--delay", str(DELAY), "--clock-off", str(off))
    children = [scene.begin(*SLOW, *options)]
    deadline = time.monotonic() + PATIENCE
    while len(scene.journal.read()[1]) < RUNS:
        assert time.monotonic() < deadline, children[0].told
        time.sleep(0.01)
    children.append(scene.begin(*SLOW))
    assert [ENDS, ENDS] == [scene.ended(child).answer()["found"] for child in children]
    check_undisturbed(scene)
    assert all(at - began >= timedelta(seconds=DELAY) for at in begins(scene, 1).values())
