"""Processes are killed in the middle of rollbacks: between what undoes phases, and inside of it."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from tests.crash.test_kill import PATIENCE, PROGRAM, Bench, any_bench, kill

__all__ = ["any_bench"]

SAGA = (*PROGRAM, "saga", "--roll-back")
ORDER = ["ship~", "charge~", "reserve~"]
"""Reverse to that of the commits."""
MOMENTS = [f"{path}:{moment}" for path in ORDER for moment in ("begin", "end")]


def told(found: dict[str, Any], type_: str) -> list[str]:
    """The phases that events of one kind tell of."""
    return [event["phase"] for event in found["events"] if event["type"] == type_]


def check_rollback(found: dict[str, Any], crashed: set[str]) -> None:
    """It was begun once, each phase was undone once and in order, and nothing was tried again but what had crashed."""
    assert found["state"] == "ROLLED_BACK"
    assert found["history"][-3:] == ["COMPLETED", "ROLLING_BACK", "ROLLED_BACK"]
    assert told(found, "PIPELINE_ROLLING_BACK") == [None]
    assert told(found, "PHASE_COMPENSATED") == ORDER
    assert set(told(found, "PHASE_RETRYING")) == crashed
    started = [path for path in told(found, "PHASE_STARTED") if path.endswith("~")]
    assert sorted(started) == sorted([*ORDER, *crashed])


def test_killed_inside_of_what_undoes_a_phase(any_bench: Bench) -> None:
    """Six runs stand at six moments of their rollbacks; each goes on there, and what was committed is not undone again."""
    bench = any_bench
    hold = ",".join(f"{number}:{moment}" for number, moment in enumerate(MOMENTS))
    first = bench.begin(*SAGA, "--runs", str(len(MOMENTS)), hold=hold)

    def undone(process: Any, number: int) -> list[str]:
        return [moment for moment in bench.moments(process, run=number) if "~" in moment]

    before = [MOMENTS[: number + 1] for number in range(len(MOMENTS))]
    bench.until(lambda: before == [undone(first, number) for number in range(len(MOMENTS))], "all moments")
    kill(first)

    found = bench.resume(*SAGA)

    for number, run in enumerate(found):
        crashed = ORDER[number // 2]
        check_rollback(run, {crashed})
        assert undone(bench.processes[1], number) == MOMENTS[2 * (number // 2) :]


@pytest.mark.parametrize(
    ("die", "done", "crashed"),
    [
        ("commit.end:1", [], set[str]()),  # the command is stored, and nobody has taken anything up
        ("body.begin:1", [], {"ship~"}),  # taken up, and not begun
        ("commit.begin:2", [], {"ship~"}),  # done, and not committed
        ("commit.end:2", ["ship~"], {"charge~"}),  # granted with that commit, and not begun
        ("commit.begin:4", ["ship~", "charge~"], {"reserve~"}),
    ],
)
def test_killed_between_them(any_bench: Bench, die: str, done: list[str], crashed: set[str]) -> None:
    """Before and after each commit of a rollback; the state says where it stands."""
    bench = any_bench
    first = bench.begin(*SAGA, "--die", die)
    assert first.wait(PATIENCE) == -signal.SIGKILL, bench.told(first)
    assert bench.select("SELECT state FROM phaseline_pipeline_run") == [("ROLLING_BACK",)]
    committed = bench.select(
        "SELECT phase FROM phaseline_event WHERE type = 'PHASE_COMPENSATED' ORDER BY seq"
    )
    assert [path for (path,) in committed] == done

    (found,) = bench.resume(*SAGA)

    check_rollback(found, crashed)
    again = {moment.partition(":")[0] for moment in bench.moments(bench.processes[1])}
    assert again == set(ORDER) - set(done)


DOOMED = (*PROGRAM, "doomed")


@pytest.mark.parametrize("point", ["commit.begin", "commit.end"])
@pytest.mark.parametrize("hit", range(5, 11))
def test_killed_around_a_failure_that_is_undone_by_itself(any_bench: Bench, point: str, hit: int) -> None:
    """From before it until all is undone: a failure that is stored is undone, by whoever comes next, and nothing twice."""
    bench = any_bench
    first = bench.begin(*DOOMED, "--die", f"{point}:{hit}")
    assert first.wait(PATIENCE) == -signal.SIGKILL, bench.told(first)
    ((state, error),) = bench.select("SELECT state, error FROM phaseline_pipeline_run")
    assert state != "FAILED"
    assert error is None

    (found,) = bench.resume(*DOOMED)

    assert found["history"][-4:] == ["DOOMED", "FAILED", "ROLLING_BACK", "ROLLED_BACK"]
    assert told(found, "PIPELINE_FAILED") == told(found, "PIPELINE_ROLLING_BACK") == [None]
    assert told(found, "PHASE_COMPENSATED") == ORDER
    committed = [(path, sum(moment == f"{path}:end" for moment in bench.moments())) for path in ORDER]
    assert all(times in (1, 2) for _, times in committed)
    assert sum(times for _, times in committed) <= len(ORDER) + 1  # what was done and not committed
    assert told(found, "PHASE_DEAD_LETTERED") == []
