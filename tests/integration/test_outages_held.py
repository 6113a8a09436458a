"""A storage that is away for a while, whatever its kind: what ended meanwhile is written later, and what fell due is begun."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from phaseline import Context, Pipeline, Runtime, Signal, phase, wait_for
from phaseline.abc import Storage
from phaseline.errors import StorageUnavailableError
from phaseline.testing import FakeClock

SECOND = timedelta(seconds=1)
WRITING = ("commit", "claim")


class Away:
    """Takes a storage away, and gives it back."""

    def __init__(self, storage: Storage, verbs: tuple[str, ...]) -> None:
        self._is_away = False
        for verb in verbs:
            setattr(storage, verb, self._refusing(getattr(storage, verb)))

    def _refusing(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self._is_away:
                raise StorageUnavailableError("the shop", "stocktaking", "come back tomorrow")
            return verb(*args, **options)

        return call

    def begin(self) -> None:
        self._is_away = True

    def end(self) -> None:
        self._is_away = False


async def test_what_a_body_came_to_in_an_outage_is_written_after_it(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """In memory it was lost, and the run hung for ever: that of a step, of a phase, and of one that fails."""
    place, calls = storage(), list[str]()
    away = Away(place, WRITING)

    def called(name: str) -> str:
        calls.append(name)
        away.begin()
        return name

    @phase
    async def sell(item: str, ctx: Context) -> str:
        return await ctx.step("wrap", called, f"wrap {item}")

    @phase
    async def post(item: str) -> str:
        return called("post")

    @phase
    async def thank(item: str) -> str:
        raise ValueError(called("thank"))

    selling = Pipeline("selling", sell >> post >> thank)
    async with Runtime(place, pipelines=[selling], clock=clock) as runtime:
        handle = await runtime.start(selling, "tea")
        for expected in (["wrap tea"], ["wrap tea", "post"], ["wrap tea", "post", "thank"]):
            await clock.advance(3 * SECOND)
            assert calls == expected
            away.end()
            await clock.advance(SECOND)
        with anyio.fail_after(10):
            run = await handle.wait()
    assert (run.state, run.error and run.error.message) == ("FAILED", "thank")


async def test_who_starts_or_commands_a_run_is_told_of_an_outage(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """He can wait or not; what is held is for bodies."""
    place = storage()
    away = Away(place, WRITING)

    @phase
    async def sell(item: str) -> str:
        return item

    selling = Pipeline("selling", sell)
    async with Runtime(place, pipelines=[selling], clock=clock) as runtime:
        handle = await runtime.start(selling, "tea", delay=SECOND)
        away.begin()
        with pytest.raises(StorageUnavailableError, match="stocktaking"):
            await runtime.start(selling, "more")
        with pytest.raises(StorageUnavailableError, match="stocktaking"):
            await handle.pause()
        away.end()
        await clock.advance(2 * SECOND)
        assert await handle.state() == "COMPLETED"


GO = Signal[str]("go")


async def test_what_falls_due_in_an_outage_is_seen_to_after_it(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """In memory nobody looked again: a run that was to begin later, a wait, and the end of a run's time."""
    place = storage()
    away = Away(place, (*WRITING, "due", "overdue"))

    @phase
    async def sell(item: str) -> str:
        return item

    selling = Pipeline("selling", sell)
    waiting = Pipeline("waiting", wait_for(GO, timeout=5 * SECOND) >> sell)
    timed = Pipeline("timed", wait_for(GO) >> sell)
    async with Runtime(place, pipelines=[selling, waiting, timed], clock=clock) as runtime:
        handles = [
            await runtime.start(selling, "tea", delay=5 * SECOND),
            await runtime.start(waiting, None),
            await runtime.start(timed, None, deadline=5 * SECOND),
        ]
        away.begin()
        await clock.advance(10 * SECOND)
        assert [False] * 3 == [(await handle.state()) in ("COMPLETED", "FAILED") for handle in handles]
        away.end()
        await clock.advance(2 * SECOND)
        with anyio.fail_after(20):
            runs = [await handle.wait() for handle in handles]
    assert [run.state for run in runs] == ["COMPLETED", "FAILED", "FAILED"]
