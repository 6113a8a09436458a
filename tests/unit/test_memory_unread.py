"""A memory that lays out what was committed when it is first asked for has then what every memory storage has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from phaseline import Context, Pipeline, Retry, branch, each, phase
from phaseline.rows import INPUT
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.memory_unread import UnreadMemory
from phaseline.testing.checker import check


@phase
async def double(value: int) -> int:
    return value * 2


@phase
async def look_back(value: int, ctx: Context) -> int:
    return value + await ctx.run_input(int)


@phase
async def save(value: int, ctx: Context) -> int:
    for number in range(3):
        await ctx.save(number)
    return value


@phase(retry=Retry(attempts=2, wait=timedelta(0)))
async def settle(value: int, ctx: Context) -> int:
    if ctx.attempt == 1:
        raise OSError("the first try fails")
    ctx.progress(1, 2)
    return value


@phase
async def spread(value: int) -> list[int]:
    return [value, value + 1]


@phase
async def pay(value: int, ctx: Context) -> int:
    return await ctx.step("pay", lambda: value) + await ctx.step("tell", lambda: 1)


@phase
def in_thread(value: int) -> int:
    return value


def is_large(value: int) -> bool:
    return value > 2


PIPELINES: dict[str, Pipeline[int, Any]] = {
    "line": Pipeline("line", double >> double.with_options(name="again") >> spread),
    "looks back": Pipeline("back", double >> look_back >> double.with_options(name="again")),
    "saves": Pipeline("saves", double >> save >> double.with_options(name="again")),
    "retries": Pipeline("retries", double >> settle >> double.with_options(name="again")),
    "steps": Pipeline("steps", double >> pay >> double.with_options(name="again")),
    "naps": Pipeline(
        "naps", double.sleep_for(timedelta(milliseconds=1)) >> double.with_options(name="again")
    ),
    "thread": Pipeline("thread", double >> in_thread),
    "map": Pipeline("map", spread >> each(double)),
    "branch": Pipeline("branch", double >> branch(is_large, look_back, settle)),
}


class Made:
    """The storages that runs in memory made for themselves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    async def of(self, pipeline: Pipeline[int, Any], kind: type[MemoryStorage]) -> MemoryStorage:
        """Run a pipeline in memory; gives the storage."""
        made: list[MemoryStorage] = []

        def make() -> MemoryStorage:
            made.append(kind())
            return made[-1]

        self._monkeypatch.setattr("phaseline.pipeline.UnreadMemory", make)
        await pipeline.run(3)
        (storage,) = made
        return storage


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Such storages."""
    return Made(monkeypatch)


def content(storage: MemoryStorage) -> dict[str, Any]:
    """All that is stored of one run, but for ids and times."""
    (run,) = storage.find("default", limit=10)
    rows = storage.load("default", run.id)
    assert rows is not None
    paths = [INPUT, *(row.path for row in rows.phases)]
    return {
        "run": (run.state, run.seq, run.revision, run.pipeline),
        "rows": [
            (row.path, row.state, row.attempt, row.fence, row.failures, row.position) for row in rows.phases
        ],
        "steps": [
            storage.steps("default", run.id, row.path, generation)
            for row in rows.phases
            for generation in (0, 1)
        ],
        "values": storage.values("default", run.id, paths),
        "events": [
            (event.seq, event.type, event.phase) for event in storage.events("default", run.id, 0, 1_000)
        ],
        "checkpoints": len(storage.checkpoints("default", run.id)),
    }


@pytest.mark.parametrize("most_unread", [0, 2, 256])
@pytest.mark.parametrize("name", PIPELINES)
async def test_it_has_what_every_memory_storage_has(
    made: Made, name: str, most_unread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, and nothing that is promised is broken."""
    monkeypatch.setattr("phaseline.storage.memory_unread.MOST_UNREAD", most_unread)
    unread = await made.of(PIPELINES[name], UnreadMemory)
    check(unread)
    assert content(unread) == content(await made.of(PIPELINES[name], MemoryStorage))


@pytest.mark.parametrize(
    ("name", "is_unread"),
    [("line", True), ("thread", True), ("looks back", False), ("saves", False), ("map", False)],
)
async def test_nothing_is_laid_out_before_somebody_looks(made: Made, name: str, is_unread: bool) -> None:
    """What is saved again and again is not kept each time."""
    storage = await made.of(PIPELINES[name], UnreadMemory)
    assert ("_runs" not in vars(storage)) is is_unread


def test_what_no_memory_storage_has_it_has_not() -> None:
    """Before and after it was looked at."""
    storage = UnreadMemory()
    for _ in range(2):
        with pytest.raises(AttributeError, match="'UnreadMemory' object has no attribute 'nothing'"):
            _ = storage.nothing
