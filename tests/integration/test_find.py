"""Runs are found by what is known of them, a page at a time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Pipeline, RunState, Runtime, phase
from phaseline.errors import DefinitionError, InvalidMarkError, RuntimeNotOpenError
from phaseline.testing import FakeClock
from phaseline.views import RunView

__all__ = ["anyio_backend"]
HOUR = timedelta(hours=1)


@phase
async def halve(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


@phase(label="ONCE_MORE")
async def again(number: int) -> int:
    return number


halved = Pipeline("halved", halve >> again)
newer = Pipeline("halved", halve, version="2")
other = Pipeline("other", again)


async def started(runtime: Runtime, clock: FakeClock) -> list[str]:
    """Start runs that differ, a second after each other; gives their ids."""
    tick = timedelta(seconds=1)
    even = await runtime.start(halved, 2, tags=["even", "small"], attributes={"customer": 7, "paid": True})
    await clock.advance(tick)
    odd = await runtime.start(halved, 3, tags=["odd"], attributes={"customer": 7}, key="Order-3")
    handles = [even, odd]
    for handle in handles:
        await handle.wait()
    for pipeline, value in ((newer, 4), (other, 5), (halved, 6)):
        await clock.advance(tick)
        handles.append(await runtime.start(pipeline, value, delay=HOUR, tags=["later"]))
    return [handle.id for handle in handles]


async def ids(runtime: Runtime, **asked: Any) -> list[str]:
    """Walk through what is found."""
    return [run.id async for run in runtime.find(**{"order": "oldest", **asked})]


async def test_runs_are_found(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """By pipeline, version, state, tags, attributes, time and text, alone and together; counted alike."""
    async with open_runtime(halved, newer, other) as runtime:
        a, b, c, d, e = await started(runtime, clock)
        now = clock.now()
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({}, [a, b, c, d, e]),
            ({"order": "newest"}, [e, d, c, b, a]),
            ({"pipeline": "halved"}, [a, b, c, e]),
            ({"pipeline": other}, [d]),
            ({"pipeline": [other, "halved"], "version": "1"}, [a, b, d, e]),
            ({"state": "FAILED"}, [b]),
            ({"state": [RunState.COMPLETED, RunState.IDLE]}, [a, c, d, e]),
            ({"ended": False}, [c, d, e]),
            ({"stage": "waiting"}, [c, d, e]),
            ({"stage": "waiting", "pipeline": "other"}, [d]),
            ({"stage": "active"}, []),
            ({"tags": "later"}, [c, d, e]),
            ({"tags": ["even", "small"]}, [a]),
            ({"attributes": {"customer": 7}}, [a, b]),
            ({"attributes": {"customer": 7, "paid": True}}, [a]),
            ({"attributes": {"customer": 7.0}}, []),
            ({"attributes": {"paid": 1}}, []),
            ({"since": now}, [e]),
            ({"until": now - timedelta(seconds=2)}, [a, b]),
            ({"text": "ORDER"}, [b]),
            ({"text": "is odd"}, [b]),
            ({"tags": ["later"], "pipeline": "other", "ended": False, "text": "ther"}, [d]),
            ({"limit": 2}, [a, b]),
            ({"after": c}, [d, e]),
            ({"after": c, "order": "newest", "limit": 1}, [b]),
        ]
        for asked, expected in cases:
            assert await ids(runtime, **asked) == expected, asked
        assert await runtime.find().count() == {"COMPLETED": 1, "FAILED": 1, "IDLE": 3}
        assert await runtime.find(pipeline="halved", ended=True).count() == {"COMPLETED": 1, "FAILED": 1}
        assert await runtime.find(tags=["none"]).count() == {}
        assert (
            repr(await runtime.find(state="IDLE").count()) == "{'IDLE': 3}"
        )  # as printed, whatever the storage


@BOTH_LOOPS
async def test_pages(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A page tells where the next one begins, and the last that it is the last."""
    async with open_runtime(halved, newer, other) as runtime:
        started_ids = await started(runtime, clock)
        seen: list[str] = []
        sizes: list[int] = []
        after: str | None = None
        while True:
            page = await runtime.find(order="oldest", limit=2, after=after)
            seen += [run.id for run in page.runs]
            sizes.append(len(page.runs))
            after = page.next
            if after is None:
                break
        assert (seen, sizes) == (started_ids, [2, 2, 1])
        assert (await runtime.find(limit=5)).next is None
        assert (await runtime.find(tags=["none"])).runs == ()


async def test_a_summary_says_the_most(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Where a run is, when it was there, and what it failed with."""
    async with open_runtime(halved) as runtime:
        failed = await runtime.start(halved, 3, tags=["b", "a"], attributes={"n": 1}, priority=7, key="k")
        await failed.wait()
        await clock.advance(timedelta(seconds=1))
        (run,) = (await runtime.find()).runs
        whole = await failed.run()
        assert (run.id, run.pipeline, run.version, run.state) == (failed.id, "halved", "1", "FAILED")
        assert (run.phase, run.key, run.priority) == ("halve", "k", 7)
        assert (run.tags, run.attributes) == (("a", "b"), {"n": 1})
        assert (run.tags, run.attributes) == (whole.tags, whole.attributes)
        assert run.error == whole.error
        assert (run.created_at, run.started_at, run.ended_at) == (
            whole.created_at,
            whole.started_at,
            whole.ended_at,
        )


async def test_the_phase_of_a_run(open_runtime: OpenRuntime) -> None:
    """It is told by the state where the pipeline is registered; where it is not, the state alone is known."""
    begun, go = anyio.Event(), anyio.Event()

    @phase(label="AT_FIRST")
    async def first(number: int) -> int:
        begun.set()
        await go.wait()
        return number

    held = Pipeline("held", first >> again)
    async with open_runtime(held) as runtime:
        handle = await runtime.start(held, 1)
        await begun.wait()
        (run,) = (await runtime.find()).runs
        assert (run.state, run.phase) == ("AT_FIRST", "first")
        async with open_runtime(other, serve=False) as stranger:
            (run,) = (await stranger.find()).runs
            assert (run.state, run.phase) == ("AT_FIRST", None)
        go.set()
        await handle.wait()
        (run,) = (await runtime.find()).runs
        assert (run.state, run.phase) == ("COMPLETED", None)


async def test_what_makes_no_sense_is_refused(open_runtime: OpenRuntime) -> None:
    """At the call, before anything is read or stored."""
    runtime = open_runtime(halved)
    with pytest.raises(RuntimeNotOpenError):
        runtime.find()
    async with runtime:
        for asked in (
            {"order": "best"},
            {"limit": 0},
            {"limit": "5"},
            {"limit": 1.5},
            {"limit": True},
            {"limit": 10**30},
            {"since": "2030-01-01"},
            {"until": 7},
            {"text": 7},
            {"text": "\ud800"},
            {"parent": "a\0"},
            {"forked_from": "a\0"},
            {"after": "\ud800"},
            {"state": "\ud800"},
            {"version": ["1", "\ud800"]},
            {"pipeline": 7},
            {"since": datetime(2030, 1, 1)},  # noqa: DTZ001  # it is what is refused
            {"until": datetime(2030, 1, 1)},  # noqa: DTZ001  # as above
            {"text": "a\0"},
            {"text": "x" * 201},
            {"tags": [""]},
            {"tags": 5},
            {"attributes": 5},
            {"state": "completed"},
            {"state": ["FAILED", "Paused"]},
            {"state": 5},
            {"version": 5},
            {"ended": "x"},
            {"stage": "ended"},
            {"attributes": {"a b": 1}},
        ):
            with pytest.raises(
                ValueError,
                match=r"order|limit|time zone|moment|text|tag|attribute|pipeline|state|stage|forked|ended",
            ):
                runtime.find(**asked)
        with pytest.raises(DefinitionError, match="longer than 200"):
            runtime.find(text="x" * 201)
        with pytest.raises(DefinitionError, match="did you mean 'COMPLETED'"):
            runtime.find(state="completed")
        with pytest.raises(InvalidMarkError):
            await runtime.start(halved, 2, tags=["a\n"])
        assert await runtime.find().count() == {}


async def test_what_lists_give_is_plain_data(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """As it is told over HTTP, but for commands; of an error the traceback is not told."""
    async with open_runtime(halved, newer, other, tracebacks=True) as runtime:
        await started(runtime, clock)
        runs = (await runtime.find()).runs
    assert any(run.error is not None and run.error.traceback for run in runs)
    for run in runs:
        told = run.to_dict()
        assert told == json.loads(json.dumps(told))
        shown = RunView.of(run).model_dump(mode="json")
        assert {**told, "allowed": shown["allowed"]} == {**shown, "forked_from": None}
