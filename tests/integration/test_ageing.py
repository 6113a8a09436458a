"""``age_after``: what waits for long goes before what is more urgent; without it priorities are strict."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import DefinitionError, StorageUnavailableError
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import FakeClock

SECOND = timedelta(seconds=1)
AGE = 20 * SECOND


class Post:
    """One seat, at which orders are served one after the other, each until it is let go."""

    def __init__(self, clock: FakeClock) -> None:
        self.served: list[str] = []
        self._clock = clock
        self._gate = anyio.Event()

    async def serve(self, name: str) -> str:
        self.served.append(name)
        self._gate = gate = anyio.Event()
        await gate.wait()
        return name

    async def next(self, after: timedelta = SECOND) -> str:
        """Let go of who is served, and give who is served then."""
        self._gate.set()
        await self._clock.advance(after)
        return self.served[-1]


@pytest.fixture
def post(clock: FakeClock) -> Post:
    return Post(clock)


@pytest.fixture
def serving(post: Post) -> Pipeline[str, str]:
    """A pipeline of one phase."""

    async def serve(name: str) -> str:
        return await post.serve(name)

    return Pipeline("serving", phase(name="serve")(serve))


@pytest.mark.parametrize("age_after", [AGE, None])
async def test_what_waits_for_long_goes_first(
    open_runtime: OpenRuntime,
    clock: FakeClock,
    post: Post,
    serving: Pipeline[str, str],
    age_after: timedelta | None,
) -> None:
    """After its time, and not before; where nothing is said of it, it waits for as long as there is something better."""
    async with open_runtime(serving, concurrency=1, age_after=age_after) as runtime:
        await runtime.start(serving, "first")
        await clock.settle()
        for name, priority in (("low", 900), ("better", 500), ("best", 1)):
            await runtime.start(serving, name, priority=priority)
        assert await post.next() == "best"
        await clock.advance(AGE - 3 * SECOND)
        assert await post.next() == "better"
        await clock.advance(2 * SECOND)
        for name in "ab":
            await runtime.start(serving, name)
            await clock.advance(SECOND / 10)  # who waits longer goes first
        assert await post.next() == ("a" if age_after is None else "low")
        rest = [await post.next() for _ in range(2)]
        assert rest == (["b", "low"] if age_after is None else ["a", "b"])
        await post.next()


async def test_an_outage_is_survived(
    clock: FakeClock,
    serving: Pipeline[str, str],
    post: Post,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says so, and looks again later."""
    storage = MemoryStorage()
    async with Runtime(storage, pipelines=[serving], clock=clock, concurrency=1, age_after=AGE) as runtime:
        await runtime.start(serving, "first")
        await clock.settle()
        await runtime.start(serving, "low", priority=900)
        age = storage.age

        def broken(*_: Any) -> int:
            raise StorageUnavailableError("here", "it broke", "mend it")

        monkeypatch.setattr(storage, "age", broken)
        await clock.advance(2 * AGE)
        assert "could not be put first" in caplog.text
        monkeypatch.setattr(storage, "age", age)
        await clock.advance(AGE)
        await runtime.start(serving, "best", priority=1)
        assert [await post.next() for _ in range(2)] == ["low", "best"]
        await post.next()


@pytest.mark.parametrize(
    ("bad", "told"), [(timedelta(0), "after some time"), (-SECOND, "after some time"), (20, "has no unit")]
)
def test_what_is_no_time_is_refused(bad: Any, told: str) -> None:
    """With what to write instead."""
    with pytest.raises(DefinitionError, match=told):
        Runtime(age_after=bad)
