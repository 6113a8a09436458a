"""Idempotency keys: one run for each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime, phase
from phaseline.abc import Storage
from phaseline.errors import DefinitionError, KeyConflictError
from phaseline.run_filter import EVERY_RUN
from phaseline.testing import FakeClock


@phase
async def double(numbers: dict[str, int]) -> int:
    return 2 * sum(numbers.values())


class Order(BaseModel):
    title: str


class OrderWithNote(BaseModel):
    """As a later version of a host has it."""

    title: str
    note: str = ""


class OrderOfPieces(BaseModel):
    """One that what was stored before does not fit."""

    title: str
    pieces: int


@phase
async def pack(order: Order) -> str:
    return order.title


@phase(name="pack")
async def pack_with_note(order: OrderWithNote) -> str:
    return order.title + order.note


@phase(name="pack")
async def pack_pieces(order: OrderOfPieces) -> str:
    return order.title * order.pieces


packed = Pipeline("packed", pack)
packed_with_note = Pipeline("packed", pack_with_note)
packed_in_pieces = Pipeline("packed", pack_pieces)
doubled = Pipeline("doubled", double)
other = Pipeline("other", double)
HOUR = timedelta(hours=1)


async def test_a_key_stands_for_one_run(open_runtime: OpenRuntime) -> None:
    """Equal input gives the same run, before and after its end; in whatever order the keys of the input come."""
    async with open_runtime(doubled) as runtime:
        first = await runtime.start(doubled, {"a": 1, "b": 2}, key="order 7", delay=HOUR)
        again = await runtime.start(doubled, {"b": 2, "a": 1}, key="order 7")
        assert (again.id, first.is_new, again.is_new) == (first.id, True, False)
    async with open_runtime(doubled) as runtime:
        later = await runtime.start(doubled, {"a": 1, "b": 2}, key="order 7")
        assert (later.id, later.is_new) == (first.id, False)
        assert not (await runtime.get(first.id)).is_new


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


async def test_a_field_with_a_default_makes_no_other_input(open_runtime: OpenRuntime) -> None:
    """A client that repeats its call after a deploy means the same; one that gives the new field does not."""
    async with open_runtime(packed) as runtime:
        first = await runtime.start(packed, Order(title="tea"), key="k")
        assert await first.result() == "tea"
    async with open_runtime(packed_with_note) as runtime:
        again = await runtime.start(packed_with_note, OrderWithNote(title="tea"), key="k")
        assert again.id == first.id
        for other in (OrderWithNote(title="tea", note="!"), OrderWithNote(title="milk")):
            with pytest.raises(KeyConflictError, match=first.id):
                await runtime.start(packed_with_note, other, key="k")
    async with open_runtime(packed_in_pieces) as runtime:
        with pytest.raises(KeyConflictError, match=first.id):
            await runtime.start(packed_in_pieces, OrderOfPieces(title="tea", pieces=1), key="k")


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


async def test_a_run_is_got_by_its_key(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """By who does not know what it was started with, and would begin none."""
    async with open_runtime(packed, doubled) as runtime:
        begun = await runtime.start(packed, Order(title="tea"), key="order 7")
        found = await runtime.get_by_key(packed, "order 7")
        assert found is not None
        assert (found.id, found.is_new) == (begun.id, False)
        assert await found.result() == "tea"
        assert await runtime.get_by_key(packed, "order 8") is None
        assert await runtime.get_by_key(doubled, "order 7") is None
        assert await runtime.get_by_key(packed, "") is None
        await clock.advance(timedelta(seconds=1))
        assert await runtime.purge(older_than=timedelta(0))
        assert await runtime.get_by_key(packed, "order 7") is None
        for key in (7, "\ud800"):
            with pytest.raises(DefinitionError, match="key="):
                await runtime.get_by_key(packed, key)  # type: ignore[arg-type]  # what is refused
