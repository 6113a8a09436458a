"""A sweep that comes between a commit and those who are told of it: what nobody is busy with at that moment is about to go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline.abc import HeldPhase
from phaseline.storage.sql.store import SqlStorage


def sweep_before_it_is_told(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have a sweep come after each unit that was written; gives how many runs each has dropped."""
    runner, dropped = runtime.runner, list[int]()
    committer: Any = runner.committer
    settle = committer._settle

    def settle_and_sweep(*given: Any) -> None:
        settle(*given)
        before = len(runner.live)
        for _ in range(2):  # a run is dropped that was found so by two in a row
            runner.drop_resting()
        dropped.append(before - len(runner.live))

    monkeypatch.setattr(committer, "_settle", settle_and_sweep)
    return dropped


async def test_what_a_commit_starts_stays_that_of_its_process(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the commit on until the body is called: else the sweep would take it for lost, and have it called twice."""
    known: list[bool] = []

    @phase
    async def first(number: int) -> int:
        return number + 1

    @phase
    async def second(number: int) -> int:
        ((run_id, live),) = runtime.runner.live.items() or [("", None)]
        known.append(
            live is not None
            and runtime.runner.has_body(HeldPhase(run_id, "second", live.jobs["second"].row.fence))
        )
        return number

    pipeline = Pipeline("two", first >> second)
    runtime = Runtime(database(), pipelines=[pipeline])
    await runtime.migrate()
    async with runtime:
        dropped = sweep_before_it_is_told(runtime, monkeypatch)
        assert (await runtime.run(pipeline, 1)).output == 2
    assert len(dropped) == 3  # the start, and the end of each phase
    assert known == [True]


async def test_a_key_that_another_process_holds_is_found_after_a_sweep(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came before the batch was told, which is written in parts after a failure: that was a KeyError."""

    @phase
    async def body(number: int) -> int:
        return number

    pipeline = Pipeline("keyed", body)
    runtime = Runtime(database(), pipelines=[pipeline])
    await runtime.migrate()
    async with Runtime(database(), pipelines=[pipeline], serve=False) as other, runtime:
        held = [(await other.start(pipeline, number, key=f"k{number}")).id for number in range(8)]
        dropped = sweep_before_it_is_told(runtime, monkeypatch)
        found: dict[int, str] = {}

        async def start(number: int) -> None:
            found[number] = (await runtime.start(pipeline, number, key=f"k{number}")).id

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(start, number)
    assert [found[number] for number in range(8)] == held
    assert sum(dropped) > 0
