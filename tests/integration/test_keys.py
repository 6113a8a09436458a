"""Idempotency keys: one run for each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime, phase
from phaseline.abc import Storage
from phaseline.errors import KeyConflictError
from phaseline.finding import EVERY_RUN
from phaseline.testing import FakeClock


@phase
async def double(numbers: dict[str, int]) -> int:
    return 2 * sum(numbers.values())


doubled = Pipeline("doubled", double)
other = Pipeline("other", double)
HOUR = timedelta(hours=1)


async def test_a_key_stands_for_one_run(open_runtime: OpenRuntime) -> None:
    """Equal input gives the same run, before and after its end; in whatever order the keys of the input come."""
    async with open_runtime(doubled) as runtime:
        first = await runtime.start(doubled, {"a": 1, "b": 2}, key="order 7", delay=HOUR)
        again = await runtime.start(doubled, {"b": 2, "a": 1}, key="order 7")
        assert again.id == first.id
    async with open_runtime(doubled) as runtime:
        assert (await runtime.start(doubled, {"a": 1, "b": 2}, key="order 7")).id == first.id


async def test_a_key_outlasts_its_run(open_runtime: OpenRuntime) -> None:
    """Also once the run has ended: its output is the answer."""
    async with open_runtime(doubled) as runtime:
        first = await runtime.start(doubled, {"a": 1}, key="k")
        assert await first.result() == 2
        again = await runtime.start(doubled, {"a": 1}, key="k")
        assert (again.id, await again.result()) == (first.id, 2)


async def test_while_open(open_runtime: OpenRuntime) -> None:
    """Such a key is free again when its run has ended, for whatever input."""
    async with open_runtime(doubled) as runtime:
        first = await runtime.start(doubled, {"a": 1}, key="k", while_open=True)
        await first.result()
        second = await runtime.start(doubled, {"a": 2}, key="k", while_open=True, delay=HOUR)
        third = await runtime.start(doubled, {"a": 2}, key="k", while_open=True)
    assert first.id != second.id == third.id


@pytest.mark.parametrize("read", ["values", "load"])
async def test_a_holder_that_is_purged_while_it_is_looked_up(
    storage: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """The key is free then: it was an error that named nothing, or that the run was unknown."""
    place, beside = storage(), storage()
    find = getattr(place, read)

    def purged_before(*args: Any) -> object:
        monkeypatch.setattr(place, read, find)
        beside.purge("default", EVERY_RUN, 9)
        return find(*args)

    await anyio.to_thread.run_sync(beside.open)
    try:
        async with Runtime(place, pipelines=[doubled], clock=clock) as runtime:
            first = await runtime.start(doubled, {"a": 1}, key="k")
            await first.result()
            monkeypatch.setattr(place, read, purged_before)
            second = await runtime.start(doubled, {"a": 1}, key="k")
            assert await second.result() == 2
            assert second.id != first.id
            assert [run.id for run in (await runtime.find()).runs] == [second.id]
    finally:
        await anyio.to_thread.run_sync(beside.close)


async def test_other_input_is_refused(open_runtime: OpenRuntime) -> None:
    """It names the run that the key stands for, and stores nothing."""
    async with open_runtime(doubled) as runtime:
        first = await runtime.start(doubled, {"a": 1}, key="k", delay=HOUR)
        with pytest.raises(KeyConflictError, match=first.id) as caught:
            await runtime.start(doubled, {"a": 2}, key="k")
        assert (caught.value.key, caught.value.pipeline, caught.value.run_id) == ("k", "doubled", first.id)
        assert len(await runtime.runner.read(lambda: runtime.runner.storage.find("default", limit=9))) == 1


async def test_keys_are_the_pipelines_own(open_runtime: OpenRuntime) -> None:
    """Two pipelines may use one text."""
    async with open_runtime(doubled, other) as runtime:
        one = await runtime.start(doubled, {"a": 1}, key="k", delay=HOUR)
        two = await runtime.start(other, {"a": 2}, key="k", delay=HOUR)
    assert one.id != two.id


async def test_many_at_once(open_runtime: OpenRuntime) -> None:
    """Of starts at the same time one makes the run."""
    ids: list[str] = []

    async def start(runtime: Runtime) -> None:
        ids.append((await runtime.start(doubled, {"a": 1}, key="k")).id)

    async with open_runtime(doubled) as runtime, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(start, runtime)
    assert len(ids) == 20
    assert len(set(ids)) == 1


@pytest.mark.parametrize("key", ["", "x" * 501, "a\nb"])
async def test_keys_that_are_none(key: str, open_runtime: OpenRuntime) -> None:
    """An empty key would stand for every run that has none."""
    async with open_runtime(doubled) as runtime:
        with pytest.raises(ValueError, match="key"):
            await runtime.start(doubled, {"a": 1}, key=key)
        with pytest.raises(ValueError, match="while_open"):
            await runtime.start(doubled, {"a": 1}, while_open=True)
