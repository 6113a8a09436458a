"""Events of all runs, walked through: stored ones first, then each as it comes, of each run without a gap."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Context, Event, Pipeline, RunHandle, Runtime, phase
from phaseline.errors import DefinitionError, ReaderTooSlowError, RuntimeNotOpenError
from phaseline.events import PhaseProgress, PipelineCompleted
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.streams import EventStream


@phase
async def look(value: int, ctx: Context) -> int:
    ctx.progress(1, 2)
    return value


pipeline, other = Pipeline("look", look), Pipeline("other", look)


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    """A runtime in memory, open."""
    async with Runtime(MemoryStorage(), pipelines=[pipeline, other]) as opened:
        yield opened


async def take(stream: EventStream, until: Callable[[Event], bool]) -> list[Event]:
    """Walk on until an event comes, which is the last one given."""
    found: list[Event] = []
    with anyio.fail_after(10):
        async for event in stream:
            found.append(event)
            if until(event):
                return found
    raise AssertionError("the walk ended before")


def ends(count: int) -> Callable[[Event], bool]:
    """Whether this is the end of the last of so many runs."""
    left = [count]

    def is_last(event: Event) -> bool:
        left[0] -= isinstance(event, PipelineCompleted)
        return left[0] == 0

    return is_last


def numbers(events: list[Event]) -> dict[str, list[int]]:
    """Numbers of stored events, by run, in the order in which they came."""
    found: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if event.seq is not None:
            found[event.run_id].append(event.seq)
    return dict(found)


async def finished(runtime: Runtime, one: Pipeline[int, int] = pipeline) -> RunHandle[int]:
    handle = await runtime.start(one, 1)
    await handle.result()
    return handle


async def test_all_runs_are_told_from_the_call_on(runtime: Runtime) -> None:
    """Each in the order of its numbers, with what is told live only; what was before is not."""
    before = await finished(runtime)
    stream = runtime.events()
    handles = [await finished(runtime), await finished(runtime, other)]

    events = await take(stream, ends(2))
    found = numbers(events)
    assert {handle.id: [*range(1, max(found[handle.id]) + 1)] for handle in handles} == found
    assert before.id not in found
    assert 2 == sum(isinstance(event, PhaseProgress) for event in events)


@pytest.mark.parametrize("wanted", ["run", "pipeline", "types"])
async def test_only_what_is_asked_for(runtime: Runtime, wanted: str) -> None:
    """By kind of event, run, and pipeline."""
    first = await runtime.start(pipeline, 1, delay=timedelta(hours=1))
    options: dict[str, Any] = {
        "run": {"run": first.id}, "pipeline": {"pipeline": "look"}, "types": {"types": ["PIPELINE_ANNOTATED"]},
    }[wanted]  # fmt: skip
    stream = runtime.events(**options)
    await finished(runtime, other)
    await first.annotate("the only one")

    (event,) = await take(stream, lambda _: True)
    assert ("PIPELINE_ANNOTATED", first.id) == (event.type, event.run_id)


async def test_what_is_stored_comes_first(runtime: Runtime) -> None:
    """From a number on for runs that are named, and all of those that were created since; then each as it comes."""
    old = await finished(runtime)
    since = datetime.now(UTC)
    new = await finished(runtime)
    stream = runtime.events(after={old.id: 3}, since=since)
    await old.annotate("live")
    await new.annotate("live")

    found = numbers([*await take(stream, lambda event: event.run_id == new.id and "note" in event.data)])
    assert [new.id, old.id] == sorted(found, reverse=True)
    assert ([*range(4, max(found[old.id]) + 1)], [*range(1, max(found[new.id]) + 1)]) == (
        found[old.id], found[new.id],
    )  # fmt: skip


async def test_what_others_did_is_read_from_the_storage(sqlite_storage: Callable[[], SqlStorage]) -> None:
    """A gap in the numbers of a run is filled, before what comes after it."""
    async with Runtime(sqlite_storage(), pipelines=[pipeline], serve=False) as asking:
        stream = asking.events()
        handle = await asking.start(pipeline, 1)
        await handle.annotate("first")
        async with Runtime(sqlite_storage(), pipelines=[pipeline]) as working:
            await (await working.get(handle.id)).wait()
        await handle.annotate("last")
        found = numbers(await take(stream, lambda event: event.data.get("note") == "last"))

    assert {handle.id: [*range(1, max(found[handle.id]) + 1)]} == found
    assert len(found[handle.id]) > 5


async def test_who_gives_up_waiting_loses_nothing(
    sqlite_storage: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is while what is missing before the next event is being read."""
    waiting = anyio.CancelScope()

    async def cut_off(_: Callable[[], object]) -> None:
        waiting.cancel()
        await anyio.lowlevel.checkpoint()

    async with Runtime(sqlite_storage(), pipelines=[pipeline], serve=False) as asking:
        stream = asking.events()
        handle = await asking.start(pipeline, 1)
        await handle.annotate("first")
        found = [await anext(stream)]
        async with Runtime(sqlite_storage(), pipelines=[pipeline]) as working:
            await (await working.get(handle.id)).wait()
        await handle.annotate("last")
        with monkeypatch.context() as patched, waiting:
            patched.setattr(asking.runner, "read", cut_off)
            await anext(stream)
        found += await take(stream, lambda event: event.data.get("note") == "last")

    assert waiting.cancelled_caught
    assert {handle.id: [*range(1, len(found) + 1)]} == numbers(found)


async def test_a_slow_reader_misses_nothing_that_is_stored(runtime: Runtime) -> None:
    """What has no room is read from the storage; only what is told live is lost."""
    stream = runtime.events(buffer=2)
    handles = [await finished(runtime) for _ in range(5)]

    events = await take(stream, ends(5))
    found = numbers(events)
    assert {handle.id: [*range(1, max(found[handle.id]) + 1)] for handle in handles} == found
    assert not any(isinstance(event, PhaseProgress) for event in events)


async def test_what_comes_when_there_is_room_again_waits_for_what_had_none(open_runtime: OpenRuntime) -> None:
    """Also of a run that the reader has heard nothing of; what is told live only would come too early, and is lost."""
    begun, goes_on = anyio.Event(), anyio.Event()

    @phase
    async def wait(value: int, ctx: Context) -> int:
        begun.set()
        await goes_on.wait()
        ctx.progress(1, 2)
        return value

    waiting = Pipeline("waiting", wait)
    async with open_runtime(pipeline, waiting) as runtime:
        other = await runtime.start(pipeline, 1, delay=timedelta(hours=1))
        stream = runtime.events(buffer=5)
        for note in "abcde":
            await other.annotate(note)
        handle = await runtime.start(waiting, 1)
        await begun.wait()
        kept = await take(stream, lambda event: event.data.get("note") == "e")
        goes_on.set()
        await handle.result()
        events = await take(stream, ends(1))

    assert (5, [handle.id]) == (len(kept), [*numbers(events)])
    assert [*range(1, len(events) + 1)] == [event.seq for event in events]


async def test_a_reader_that_cannot_catch_up_is_told(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what could be kept for it, and rather than leave something out."""
    monkeypatch.setattr("phaseline.watches.MOST_OWED", 2)
    stream = runtime.events(buffer=1)
    for _ in range(3):
        await finished(runtime)

    with pytest.raises(ReaderTooSlowError, match="begin again"):
        await take(stream, lambda _: False)


async def test_nothing_is_told_with_a_gap_before_a_reader_is_told_that_it_cannot_catch_up(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would begin again behind what it has missed."""
    monkeypatch.setattr("phaseline.watches.MOST_OWED", 1)
    first, owed, lost = [await runtime.start(pipeline, 1, delay=timedelta(hours=1)) for _ in range(3)]
    stream = runtime.events(buffer=1)
    for handle in (first, owed, lost):
        await handle.annotate("one")
    heard = [(await anext(stream)).run_id]
    await lost.annotate("two")
    heard.append((await anext(stream)).run_id)
    with pytest.raises(ReaderTooSlowError):
        await anext(stream)

    assert [first.id, owed.id] == heard


async def test_the_walk_ends_with_the_runtime() -> None:
    """Who waits for the next event is told that there is none."""
    found: list[Event] = []

    async def walk(stream: EventStream) -> None:
        found.extend([event async for event in stream])

    async with anyio.create_task_group() as tasks, Runtime(MemoryStorage(), pipelines=[pipeline]) as runtime:
        tasks.start_soon(walk, runtime.events(types=[PipelineCompleted]))
        await finished(runtime)

    assert 1 == len(found)
    with pytest.raises(RuntimeNotOpenError):
        runtime.events()


async def test_a_walk_that_is_left_keeps_nothing(runtime: Runtime) -> None:
    """By its end, or because nobody can go on with it."""
    async with runtime.events() as stream:
        assert 1 == runtime.bus.stats().readers
    assert 0 == runtime.bus.stats().readers
    assert [] == [event async for event in stream]

    stream = runtime.events()
    del stream
    gc.collect()
    assert 0 == runtime.bus.stats().readers


async def test_events_of_one_run_that_are_left_keep_nothing(open_runtime: OpenRuntime) -> None:
    """At once, also where the run goes on."""
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1, delay=timedelta(hours=1))
        await handle.annotate("goes on")
        events: Any = handle.events()
        async with aclosing(events):
            await anext(events)
            during = runtime.bus.stats().readers
        afterwards = runtime.bus.stats().readers

    assert (1, 0) == (during, afterwards)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"after": 7}, ["after=7", "handle.events(after=7)"]),
        ({"after": {"run": -1}}, ["after=-1"]),
        ({"after": {"run": True}}, ["after=True"]),
        ({"after": {7: 1}}, ["id of a run"]),
        ({"since": datetime(2030, 1, 1)}, ["no time zone"]),  # noqa: DTZ001  # that is the test
        ({"buffer": 0}, ["runtime.events(buffer=0)"]),
        ({"types": "X"}, ["runtime.events(types='X')"]),
        ({"pipeline": 1}, ["pipeline=1"]),
    ],
    ids=range(8),
)
async def test_what_makes_no_sense_is_refused(
    runtime: Runtime, options: dict[str, Any], words: list[str]
) -> None:
    """At once, not at the first event."""
    with pytest.raises(DefinitionError) as caught:
        runtime.events(**options)

    assert [] == [word for word in words if word not in str(caught.value)], caught.value


async def test_a_number_is_needed_to_go_on_from(runtime: Runtime) -> None:
    """Also for the events of one run."""
    handle = await finished(runtime)
    numberless: Any = "3"
    with pytest.raises(DefinitionError, match="number of an event"):
        handle.events(after=numberless)
