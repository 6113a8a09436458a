"""Two batches on their way at once: who waits is told, and a run is in one of them at most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from phaseline import Pipeline, RunHandle, Runtime, each, phase
from phaseline.errors import StorageRefusedError
from phaseline.storage.sql.store import SqlStorage
from phaseline.unit_of_work import Outcome, RunRows, Unit

PATIENCE = 10


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110  # threads do it
            await anyio.sleep(0.001)


class Gate:
    """Has the writing thread wait for the test."""

    def __init__(self) -> None:
        self._is_reached, self._is_open = threading.Event(), threading.Event()

    def wait(self) -> None:
        self._is_reached.set()
        assert self._is_open.wait(PATIENCE)

    def open(self) -> None:
        self._is_open.set()

    async def reached(self) -> None:
        await until(self._is_reached.is_set)


class AsServer(SqlStorage):
    """A file that is taken for a server, and that stops where the test says."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.is_server = True
        self.refused = ""
        """The run of which nothing is stored any more."""
        self.commits: dict[str, Callable[[], None]] = {}
        """What is called before a commit, by a run that is in it."""
        self.loads: dict[str, Callable[[], None]] = {}
        """The same before a run is read."""
        self.outcomes: list[Outcome] = []

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        for unit in units:
            self.commits.pop(unit.run.id, bool)()
        if any(unit.run.id == self.refused for unit in units):
            raise StorageRefusedError(repr(self), "the test does")
        outcomes = super().commit(units)
        self.outcomes += outcomes
        return outcomes

    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        self.loads.pop(run_id, bool)()
        return super().load(namespace, run_id, since)


@pytest.fixture
def storage(tmp_path: Path) -> AsServer:
    """One that is empty."""
    return AsServer(tmp_path / "runs.db")


@phase
async def lasting(number: int) -> int:
    await anyio.sleep_forever()
    return number


lasts = Pipeline("lasts", lasting)


@phase
async def listed(number: int) -> list[int]:
    return list(range(number))


async def begun(runtime: Runtime, pipeline: Pipeline[int, object], bodies: int) -> RunHandle[object]:
    """A run so many bodies of which are called here, and wait."""
    handle = await runtime.start(pipeline, bodies)
    await until(lambda: len(getattr(runtime.runner.live.get(handle.id), "jobs", ())) == bodies)
    return handle


async def test_who_waits_for_a_batch_is_told_though_another_one_failed(storage: AsServer) -> None:
    """It is gathering yet, and reads runs that others may have moved on, when the other one turns out to have failed."""
    writing, beginning, reading = Gate(), Gate(), Gate()
    async with Runtime(storage, pipelines=[lasts], drain=timedelta()) as runtime:
        refused, first, last = [await begun(runtime, lasts, 1) for _ in range(3)]
        storage.refused, storage.commits[refused.id] = refused.id, writing.wait

        async def note_in_vain() -> None:
            with pytest.raises(StorageRefusedError):
                await refused.annotate("it is refused")
            reading.open()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note_in_vain)
            await writing.reached()
            async with runtime.runner.committer.deciding:
                tasks.start_soon(first.annotate, "it is told")
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(last.annotate, "it is told, too")
                await anyio.wait_all_tasks_blocked()
                storage.loads |= {first.id: beginning.wait, last.id: reading.wait}
            await anyio.wait_all_tasks_blocked()
            writing.open()
            await until(lambda: runtime.runner.live[refused.id].unsettled is not None)
            beginning.open()
        storage.refused = ""


async def test_a_run_is_in_one_batch_at_most(storage: AsServer) -> None:
    """Something is done to it while its batch reads other runs, and again while that is written and the next one reads."""
    ends, calls = [anyio.Event() for _ in range(3)], list[int]()

    @phase
    async def item(number: int) -> int:
        calls.append(number)
        await ends[number].wait()
        return number

    reading, writing = Gate(), Gate()
    items = Pipeline("items", listed >> each(item))
    async with Runtime(storage, pipelines=[items, lasts], drain=timedelta()) as runtime:
        busy = await begun(runtime, items, 3)
        other, third = [await begun(runtime, lasts, 1) for _ in range(2)]
        runtime.runner.live[busy.id].company = 1  # as after a fault: it is written apart, after the others
        storage.outcomes.clear()
        storage.commits[other.id], storage.loads[other.id] = writing.wait, reading.wait
        async with anyio.create_task_group() as tasks:
            async with runtime.runner.committer.deciding:
                ends[0].set()
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(other.annotate, "it is read before")
                await anyio.wait_all_tasks_blocked()
            await reading.reached()
            ends[1].set()
            tasks.start_soon(third.annotate, "it is read, too")
            await anyio.wait_all_tasks_blocked()
            reading.open()
            await writing.reached()
            ends[2].set()
            await anyio.wait_all_tasks_blocked()
            writing.open()
            await busy.result(timeout=timedelta(seconds=PATIENCE))
        assert set(storage.outcomes) == {Outcome.COMMITTED}
        assert sorted(calls) == [0, 1, 2]  # what they came to was stored
