"""A process is killed while an agent asks its model; what was asked and stored is not asked once more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.crash.test_kill import Bench, bench, kill

__all__ = ["bench"]
PROGRAM = (str(Path(__file__).with_name("agents.py")), "agent")


@pytest.mark.timeout(120)  # each process imports pydantic-ai, which takes seconds, and many on a busy machine
def test_killed_while_an_agent_asks(bench: Bench) -> None:
    """No answer that was stored is paid for twice, neither after an outage of the provider nor after the crash."""
    process = bench.begin(*PROGRAM, hold="request 3:begin")
    bench.until(lambda: "request 3:begin" in bench.moments(), "the last request")
    kill(process)
    assert bench.select("SELECT count(*) FROM phaseline_step_result") == [(5,)]

    (found,) = bench.resume(*PROGRAM)

    assert (found["state"], found["output"]) == ("COMPLETED", '["sweet", 3]')
    assert bench.moments(bench.processes[1]) == ["request 3:begin"]
    assert Counter(bench.moments()) == {
        "request 1:begin": 1,
        "weigh tea:begin": 1,
        "weigh milk:begin": 1,
        "request 2:begin": 2,
        "weigh sugar:begin": 1,
        "request 3:begin": 2,
    }
    reasons = [event["data"]["reason"] for event in found["events"] if event["type"] == "PHASE_RETRYING"]
    assert reasons == ["failed", "lost"]
