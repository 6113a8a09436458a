"""Commands to all runs that fulfil conditions, on every storage."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.opening import OpenRuntime

from phaseline import Abort, Pipeline, RunState, phase, runs
from phaseline._shell.runner import Runner
from phaseline.errors import CommandRefusedError, DefinitionError, EncodeError, StorageUnavailableError

HOUR = timedelta(hours=1)


@phase
async def same(number: int) -> int:
    return number


@phase
async def broken(number: int) -> int:
    raise Abort(f"no {number}")


plain = Pipeline("plain", same)
breaking = Pipeline("breaking", broken)


async def test_each_run_answers_for_itself(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several pages and groups, though a command changes who fulfils the conditions; the rest is untouched."""
    monkeypatch.setattr(runs, "AT_ONCE", 4)
    monkeypatch.setattr(runs, "STRIDE", 3)
    async with open_runtime(plain) as runtime:
        others = await runtime.start(plain, 0, delay=HOUR)
        ids = {(await runtime.start(plain, n, delay=HOUR, tags=["late"])).id for n in range(10)}
        done = await runtime.start(plain, 1, tags=["late"])
        await done.result()

        answer = await runtime.find(tags="late").control("pause", reason="audit", actor="ada")
        assert set(answer.done) == ids
        assert len(answer.done) == 10
        (refusal,) = answer.refused.items()
        assert refusal[0] == done.id
        assert isinstance(refusal[1], CommandRefusedError)
        assert refusal[1].state == RunState.COMPLETED
        assert await runtime.find().count() == {"COMPLETED": 1, "IDLE": 1, "PAUSED": 10}

        few = await runtime.find(state="PAUSED", limit=2).control("cancel")
        assert (len(few.done), few.refused) == (2, {})
        rest = await runtime.find(state="PAUSED").control("cancel")
        assert len(rest.done) == 8
        nobody = await runtime.find(state="PAUSED").control("cancel")
        assert (nobody.done, nobody.refused) == ((), {})
        assert await others.state() == RunState.IDLE
        events = [e async for e in (await runtime.get(few.done[0])).events() if e.type == "PIPELINE_PAUSED"]
        assert [event.data for event in events] == [{"reason": "audit", "actor": "ada"}]


async def test_what_is_wrong_is_told_before_anybody_is_commanded(open_runtime: OpenRuntime) -> None:
    """A verb that there is not, what it needs, a text that cannot be stored."""
    async with open_runtime(plain) as runtime:
        handle = await runtime.start(plain, 1, delay=HOUR)
        with pytest.raises(DefinitionError, match="did you mean 'cancel'"):
            await runtime.find().control("cancle")
        with pytest.raises(DefinitionError, match="needs phase="):
            await runtime.find().control("rerun_from")
        with pytest.raises(EncodeError, match="reason of cancel"):
            await runtime.find().control("cancel", reason="\0")
        assert await handle.state() == RunState.IDLE


@pytest.mark.parametrize("verb", ["pause", "requeue", "discard"])
async def test_an_outage_is_raised_as_it_is(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Not in a group, however many it befell: who catches a StorageError catches it."""

    async def lost(*_: Any) -> None:
        raise StorageUnavailableError("here", "it is gone", "wait")

    async with open_runtime(plain, breaking) as runtime:
        for number in range(3):
            await (await runtime.start(breaking, number)).wait()
            await runtime.start(plain, number, delay=HOUR)
        with monkeypatch.context() as patched:
            patched.setattr(Runner, "hold", lost)
            patched.setattr(runs, "AT_ONCE", 2)
            command = {
                "pause": partial(runtime.find(pipeline=plain).control, "pause"),
                "requeue": runtime.dead_letters.find().requeue,
                "discard": runtime.dead_letters.find().discard,
            }[verb]
            with pytest.raises(StorageUnavailableError, match="it is gone"):
                await command()
        assert await runtime.find().count() == {"FAILED": 3, "IDLE": 3}
