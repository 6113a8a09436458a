"""A start whose outcome nobody learns, because the storage goes away in the midst of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import StorageUnavailableError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.checker import check
from phaseline.unit_of_work import Outcome, RunRows, Unit

PATIENCE = 30


class Leaving(SqlStorage):
    """Goes away once: right before, or right after it has committed; it comes back when the test says so."""

    def __init__(self, url: str, *, commits: bool) -> None:
        super().__init__(url)
        self._commits = commits
        self.is_away = False
        self.leaves = False
        self.asked = 0
        """Times it was asked what became of a run while it was away."""

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        if self.leaves:
            self.leaves, self.is_away = False, True
            if self._commits:
                super().commit(units)
        self._answer()
        return super().commit(units)

    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        self.asked += self.is_away
        self._answer()
        return super().load(namespace, run_id, since)

    def _answer(self) -> None:
        if self.is_away:
            raise StorageUnavailableError(repr(self), "it is away", "wait for it")


@pytest.mark.parametrize("commits", [True, False], ids=["stored", "not stored"])
async def test_start_of_unknown_outcome(tmp_path: Path, *, commits: bool) -> None:
    """The caller is told at once; once the storage is back, a run that was stored is carried out by whom it was granted to."""
    called: list[int] = []

    @phase
    async def body(number: int) -> int:
        called.append(number)
        return number

    pipeline = Pipeline("one", body)
    storage = Leaving(f"sqlite:///{tmp_path / 'runs.db'}", commits=commits)
    async with Runtime(storage, pipelines=[pipeline]) as runtime:
        storage.leaves = True
        with pytest.raises(StorageUnavailableError, match="it is away"):
            await runtime.start(pipeline, 1)
        with anyio.fail_after(PATIENCE):
            while storage.asked < 2:  # noqa: ASYNC110  # nobody is told
                await anyio.sleep(0.01)
            storage.is_away = False
            while runtime.runner.live or len(called) < commits:  # noqa: ASYNC110  # as above
                await anyio.sleep(0.01)
        assert await anyio.to_thread.run_sync(states, storage) == ["COMPLETED"] * commits
    assert called == [1] * commits


def states(storage: SqlStorage) -> list[str]:
    check(storage)
    return [run.state for run in storage.find("default", limit=10)]


class Wrong(SqlStorage):
    """Has a mistake in it that shows once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_wrong = False
        self.shown = 0

    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        if self.is_wrong:
            self.is_wrong, self.shown = False, self.shown + 1
            raise LookupError("a mistake")
        return super().load(namespace, run_id, since)


async def test_a_mistake_while_a_run_is_read_fails_its_command_alone(tmp_path: Path) -> None:
    """Whoever commands that run is told of it; the run, and all others, go on."""
    begun, may_end = anyio.Event(), anyio.Event()

    @phase
    async def wait_long(number: int) -> int:
        begun.set()
        await may_end.wait()
        return number

    pipeline = Pipeline("long", wait_long)
    storage = Wrong(f"sqlite:///{tmp_path / 'runs.db'}")
    async with Runtime(storage, pipelines=[pipeline]) as runtime:
        first = await runtime.start(pipeline, 1)
        with anyio.fail_after(PATIENCE):
            await begun.wait()
            storage.is_wrong = True
            with pytest.raises(LookupError, match="a mistake"):
                await first.pause()
            may_end.set()
            second = await runtime.start(pipeline, 2)
            assert (await first.result(), await second.result()) == (1, 2)
    assert storage.shown == 1
