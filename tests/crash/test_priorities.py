"""Two processes take up what waits: what is most urgent first, whoever of them takes it, and in time what is not."""

from __future__ import annotations

import json
import time
from random import Random

import pytest
from tests.crash.scene import Scene

PROCESSES, RUNS = 2, 40
LOW, URGENT = 900, 100
AT_ONCE = 50_000
"""Microseconds within which two claims may overlap: a start bears the time at which its claim began, and of two that run side by
side the one that began first may take its row last."""


def carried_out(
    scene: Scene, priorities: list[int], *options: str, delay: float = 0
) -> list[tuple[int, int]]:
    """Have two processes carry out orders that are all stored before; gives their numbers as they were begun, and when."""
    orders = (
        "hold",
        "--runs",
        str(len(priorities)),
        "--priorities",
        json.dumps(priorities),
        "--delay",
        str(delay),
    )
    submitter = scene.begin(*orders, "--submit-only")
    until_stored(scene, len(priorities))
    serving = (*orders, "--concurrency", "1", "--together", str(PROCESSES), *options)
    workers = [scene.begin(*serving) for _ in range(PROCESSES)]
    for child in (submitter, *workers):
        assert scene.ended(child).answer()["found"] == [
            ["COMPLETED", number] for number in range(len(priorities))
        ]
    scene.check()
    started = scene.select(
        "SELECT r.input, p.started_at FROM phaseline_phase_execution p JOIN phaseline_pipeline_run r "
        "ON r.namespace = p.namespace AND r.id = p.run_id ORDER BY p.started_at, r.priority"
    )
    assert len({worker for (worker,) in scene.select(WORKERS)}) == PROCESSES, "one process did it all"
    return [(int(number), int(began)) for number, began in started]


WORKERS = "SELECT DISTINCT data FROM phaseline_event WHERE type = 'PHASE_STARTED'"


def until_stored(scene: Scene, count: int) -> None:
    """Wait until so many runs are stored."""
    deadline = time.monotonic() + 40
    while scene.select("SELECT count(*) FROM phaseline_pipeline_run") < [(count,)]:
        assert time.monotonic() < deadline, "they are not stored"
        time.sleep(0.02)


@pytest.mark.timeout(120)
def test_priorities_are_strict(scene: Scene) -> None:
    """No run begins while a more urgent one waits, whichever process is to take it up."""
    priorities = [Random(number).choice([0, 7, 100, 101, 500, 999]) for number in range(RUNS)]
    begun = [(priorities[number], began) for number, began in carried_out(scene, priorities)]
    for priority, began in begun:
        overtaken = [other for other, earlier in begun if other > priority and earlier < began - AT_ONCE]
        assert not overtaken, f"{overtaken} went before {priority}"


@pytest.mark.timeout(120)
def test_what_waits_for_long_goes_first(scene: Scene) -> None:
    """However much is more urgent, and not before its time."""
    low = 10
    priorities = [LOW if number == low else URGENT for number in range(4 * RUNS)]
    begun = [number for number, _ in carried_out(scene, priorities, "--age-after", "0.6", delay=3)]
    assert begun[-1] != low, "it went last, as if it did not age"
    assert begun[0] != low, "it went first, as if it were not less urgent"
