"""Processes are killed while they copy a run: there is a copy, and both runs tell of it, or there is none."""

from __future__ import annotations

import signal

import pytest
from tests.crash.test_kill import PATIENCE, PROGRAM, Bench, any_bench

__all__ = ["any_bench"]

FORKED = "SELECT run_id FROM phaseline_event WHERE type = 'PIPELINE_FORKED'"
COPIES = "SELECT id, forked_from FROM phaseline_pipeline_run WHERE forked_from IS NOT NULL"


@pytest.mark.parametrize(
    ("die", "is_there"), [("commit.begin:1", False), ("transaction.written:1", False), ("commit.end:1", True)]
)
def test_killed_while_it_copies(any_bench: Bench, die: str, is_there: bool) -> None:
    """Before, inside and after the commit; a copy that is there goes on in another process, and does what is left to it."""
    bench = any_bench
    first = bench.begin(*PROGRAM, "order", "--fork", "reserve", "--die", die)
    assert first.wait(PATIENCE) == -signal.SIGKILL, bench.told(first)
    copies, told = bench.select(COPIES), {run_id for (run_id,) in bench.select(FORKED)}
    assert len(copies) == is_there
    assert told == {run_id for pair in copies for run_id in pair}

    found = bench.resume(*PROGRAM, "order")

    assert [(run["state"], run["output"]) for run in found] == [
        ("COMPLETED", "receipt 0, mailed, shipped")
    ] * (1 + is_there)
    again = {moment.partition(":")[0] for moment in bench.moments(bench.processes[1])}
    assert again == ({"charge", "pay", "mail", "ship"} if is_there else set())
