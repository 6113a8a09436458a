"""Eight processes serve one schedule of a slot each second; some are killed, some stopped and woken again."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from tests.crash.scene import Scene

PROCESSES = 8
SECONDS = 20
FAULTS = {3: "kill", 6: "stop", 9: "kill", 12: "wake", 13: "stop", 15: "kill", 17: "wake"}
"""What strikes a process at which second; those that were stopped go on in the middle of what they did."""
LEASE = "3"


@pytest.mark.timeout(120)
def test_at_most_one_run_for_each_slot(scene: Scene, tmp_path: Path) -> None:
    """And, since there was always somebody and all is caught up on, not less than one."""
    end = tmp_path / "end"
    children = [scene.begin("tick", "--end", str(end), "--lease", LEASE) for _ in range(PROCESSES)]
    until(scene, 1)
    begin = time.monotonic()
    killed, stopped = [], []
    for second, fault in FAULTS.items():
        time.sleep(max(0, begin + second - time.monotonic()))
        if fault == "wake":
            os.kill(stopped[-1].pid, signal.SIGCONT)
            continue
        child = children.pop()
        os.kill(child.pid, signal.SIGKILL if fault == "kill" else signal.SIGSTOP)
        (killed if fault == "kill" else stopped).append(child)
    time.sleep(max(0, begin + SECONDS - time.monotonic()))
    end.touch()
    for child in (*children, *stopped):
        assert scene.ended(child).status == 0, child.told
    assert [scene.ended(child).status for child in killed] == [-signal.SIGKILL] * len(killed)

    runs = [run for run in scene.check() if "schedule" in run.attributes]
    slots = Counter(str(run.attributes["slot"]) for run in runs)
    assert set(slots.values()) == {1}
    moments = sorted(datetime.strptime(slot, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) for slot in slots)
    assert {after - before for before, after in pairwise(moments)} == {timedelta(seconds=1)}
    assert len(moments) >= SECONDS
    assert Counter(run.state for run in runs) == {"COMPLETED": len(runs)}


def until(scene: Scene, count: int) -> None:
    """Wait until so many runs have begun."""
    deadline = time.monotonic() + 30
    while scene.select("SELECT count(*) FROM phaseline_pipeline_run") < [(count,)]:
        assert time.monotonic() < deadline, "no slot was fired"
        time.sleep(0.05)
