"""Schedules begin runs by themselves, each slot once, whoever looks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest
from anyio import to_thread
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import SLOT, Pipeline, Runtime, Schedule, phase
from phaseline._definition.plan import Plan
from phaseline._shell import scheduling
from phaseline.abc import Storage
from phaseline.errors import (
    DefinitionError,
    ForbiddenError,
    InvalidInputError,
    InvalidMarkError,
    PipelineNotRegisteredError,
    ScheduleError,
    ScheduleNotFoundError,
    StorageRefusedError,
    StorageUnavailableError,
)
from phaseline.testing import FakeClock
from phaseline.testing.checker import check
from phaseline.timetable import Firing, ScheduleRecord
from phaseline.unit_of_work import Outcome

__all__ = ["anyio_backend"]
SECOND, STEP, MINUTE = timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=1)


@phase
async def double(number: int) -> int:
    return 2 * number


@phase
async def tell(slot: datetime) -> str:
    return slot.isoformat()


doubling = Pipeline("doubling", double)
telling = Pipeline("telling", tell)


class Gate:
    """A pipeline whose runs wait until they are let go."""

    def __init__(self) -> None:
        self.opened = anyio.Event()

        @phase
        async def wait(number: int) -> int:
            await self.opened.wait()
            return number

        self.pipeline = Pipeline("waiting", wait)


async def slots(runtime: Runtime, name: str) -> list[str]:
    """The slots for which a schedule began runs, by minute and second."""
    found = [run async for run in runtime.find(attributes={"schedule": name}, order="oldest")]
    return sorted(str(run.attributes["slot"])[14:19] for run in found if "slot" in run.attributes)


async def never(_: Schedule) -> bool:
    return False


async def change(place: Storage, name: str, **fields: Any) -> None:
    """Store of a schedule what ``put`` would refuse."""

    def write() -> bool:
        stored = place.timetable.get("default", name)
        assert stored is not None
        moved = msgspec.structs.replace(stored, revision=stored.revision + 1, **fields)
        return place.timetable.put(moved, stored.revision)

    assert await to_thread.run_sync(write)


async def states(runtime: Runtime) -> dict[str, int]:
    return dict(await runtime.find().count())


# --------------------------------------------------------------------- firing
@BOTH_LOOPS
async def test_each_slot_begins_a_run(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """With the schedule's input; attributes, tags and key tell which schedule and slot it was."""
    async with open_runtime(doubling) as runtime:
        stored = await runtime.schedules.put(
            "often", doubling, input=21, every=STEP, tags=["timer"], attributes={"n": 1}, priority=7
        )
        assert (stored.next_at, stored.last_slot) == (clock.now() + STEP, None)
        await clock.advance(STEP - SECOND)
        assert await states(runtime) == {}
        await clock.advance(2 * STEP)
        first, second = [run async for run in runtime.find(order="oldest")]
        assert (first.key, first.tags, first.priority) == (
            "schedule:often:2030-01-01T00:00:10Z",
            ("timer",),
            7,
        )
        assert first.attributes == {"schedule": "often", "slot": "2030-01-01T00:00:10Z", "n": 1}
        assert second.attributes["slot"] == "2030-01-01T00:00:20Z"
        assert await (await runtime.get(first.id, doubling)).result() == 42
        shown = await runtime.schedules.get("often")
        assert (shown.last_slot, shown.next_at) == (
            datetime(2030, 1, 1, 0, 0, 20, tzinfo=UTC),
            datetime(2030, 1, 1, 0, 0, 30, tzinfo=UTC),
        )


async def test_a_run_may_take_its_slot(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """In the time zone of its schedule."""
    async with open_runtime(telling) as runtime:
        await runtime.schedules.put("daily", telling, input=SLOT, cron="10 0 1 * * *", tz="Europe/Berlin")
        await clock.advance(STEP)
        (found,) = [run async for run in runtime.find()]
        assert await (await runtime.get(found.id, telling)).result() == "2030-01-01T01:00:10+01:00"


@BOTH_LOOPS
async def test_of_several_processes_one_fires(
    storage: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each slot once, however many look at the same moment, and wherever they begin; a memory belongs to one runtime alone."""
    monkeypatch.setattr(scheduling, "BATCH", 2)
    place = storage()
    others = [storage() for _ in range(3)] if place.shared else []
    async with anyio.create_task_group() as tasks:
        closing = anyio.Event()

        async def serve(where: Storage, ready: anyio.Event) -> None:
            async with Runtime(where, pipelines=[doubling], clock=clock):
                ready.set()
                await closing.wait()

        for other in others:
            ready = anyio.Event()
            tasks.start_soon(serve, other, ready)
            await ready.wait()
        async with Runtime(place, pipelines=[doubling], clock=clock) as runtime:
            for name in "abcde":
                await runtime.schedules.put(name, doubling, input=1, every=STEP)
            await clock.advance(6 * STEP)
            assert await states(runtime) == {"COMPLETED": 5 * 6}
            await to_thread.run_sync(check, place)
            closing.set()


async def test_a_process_that_only_submits_changes_schedules(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """It fires none; who serves later catches up on the latest."""
    async with Runtime(storage(), pipelines=[doubling], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP)
        await clock.advance(5 * STEP + SECOND)
        assert await states(runtime) == {}
    async with Runtime(storage(), pipelines=[doubling], clock=clock) as runtime:
        await clock.advance(SECOND)
        assert await slots(runtime, "often") == ["00:50"]


async def test_another_namespace_has_schedules_of_its_own(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """It neither sees nor fires them."""
    place = storage()
    async with Runtime(place, pipelines=[doubling], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP)
    async with Runtime(storage(), pipelines=[doubling], clock=clock, namespace="else") as runtime:
        assert list(await runtime.schedules.list()) == []
        await clock.advance(3 * STEP)
        assert await states(runtime) == {}


async def test_a_backlog_starves_no_other(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """They take turns: what has just come is fired before the second slot of one that is far behind."""
    begun: list[int] = []

    @phase
    async def note(number: int) -> None:
        begun.append(number)

    noting, place = Pipeline("noting", note), storage()
    async with Runtime(place, pipelines=[noting], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("a", noting, input=1, every=SECOND, overlap="allow", catch_up="all")
        await clock.advance(50 * SECOND)
        await runtime.schedules.put("b", noting, input=2, every=STEP)
        await clock.advance(STEP)
    async with Runtime(place, pipelines=[noting], clock=clock) as runtime:
        await clock.settle()
        assert 2 in begun[:4]
        assert 61 == len(begun)


@pytest.mark.parametrize(
    ("seconds", "expected", "is_told"),
    [(45, ["00:10", "00:20", "00:30", "00:40"], False), (85, ["01:20"], True)],
)
async def test_what_came_while_somebody_served_is_fired_however_slow_he_was(
    *,
    storage: Callable[[], Storage],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seconds: int,
    expected: list[str],
    is_told: bool,
) -> None:
    """Each slot, unless it is late by more than a minute: then the latest counts, and that is told."""

    def away(*_: object) -> None:
        raise StorageUnavailableError("storage", "it is away", "wait")

    place = storage()
    async with Runtime(place, pipelines=[doubling], clock=clock) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP)
        with monkeypatch.context() as outage:
            outage.setattr(type(place.timetable), "due", away)
            await clock.advance(seconds * SECOND)
            assert [] == await slots(runtime, "often")
        await clock.advance(4 * SECOND)  # each waits for the run before it
        assert expected == await slots(runtime, "often")
        assert is_told is (
            "slots from 2030-01-01 00:00:10+00:00 on could not be fired in time" in caplog.text
        )


# --------------------------------------------------------------------- catching up, overlap
@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("latest", ["10:00"]), ("all", ["02:00", "04:00", "06:00", "08:00", "10:00"]), ("none", [])],
)
async def test_what_nobody_was_there_for(
    storage: Callable[[], Storage], clock: FakeClock, catch_up: Any, expected: list[str]
) -> None:
    """Storing it again, as each process does when it begins, forgets nothing of it."""

    async def put(runtime: Runtime) -> Schedule:
        return await runtime.schedules.put(
            "often", doubling, input=1, every=2 * MINUTE, overlap="allow", catch_up=catch_up
        )

    async with Runtime(storage(), pipelines=[doubling], clock=clock, serve=False) as runtime:
        before = await put(runtime)
        await clock.advance(11 * MINUTE + 30 * SECOND)
        assert await put(runtime) == before
    async with Runtime(storage(), pipelines=[doubling], clock=clock) as runtime:
        await put(runtime)
        await clock.advance(SECOND)
        assert await slots(runtime, "often") == expected
        await clock.advance(30 * SECOND)
        assert await slots(runtime, "often") == [*expected, "12:00"]


@pytest.mark.parametrize(
    ("overlap", "meanwhile", "afterwards"),
    [
        ("skip", ["00:10"], ["00:10", "00:40"]),
        ("allow", ["00:10", "00:20", "00:30"], ["00:10", "00:20", "00:30", "00:40"]),
        ("queue", ["00:10"], ["00:10", "00:30", "00:40"]),
    ],
)
async def test_a_slot_while_a_run_goes_on(
    open_runtime: OpenRuntime, clock: FakeClock, overlap: Any, meanwhile: list[str], afterwards: list[str]
) -> None:
    """It is let go, fired all the same, or waits, and then the latest of those that wait is fired."""
    gate = Gate()
    async with open_runtime(gate.pipeline) as runtime:
        await runtime.schedules.put("often", gate.pipeline, input=1, every=STEP, overlap=overlap)
        await clock.advance(3 * STEP + 2 * SECOND)
        assert await slots(runtime, "often") == meanwhile
        gate.opened.set()
        await clock.advance(SECOND)
        await clock.advance(STEP)
        assert await slots(runtime, "often") == afterwards


async def test_what_is_late_waits_for_the_run_before_it(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Where all is to be caught up: only what comes in time, while a run goes on, is let go."""

    @phase
    async def linger(slot: datetime) -> str:
        await anyio.sleep(0.02)
        return slot.isoformat()

    lingering = Pipeline("lingering", linger)
    async with Runtime(storage(), pipelines=[lingering], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("often", lingering, input=SLOT, every=2 * MINUTE, catch_up="all")
        await clock.advance(11 * MINUTE + 30 * SECOND)
    async with Runtime(storage(), pipelines=[lingering], clock=clock) as runtime:
        for _ in range(20):
            await clock.advance(SECOND)
            await anyio.sleep(0.03)
        assert await slots(runtime, "often") == ["02:00", "04:00", "06:00", "08:00", "10:00"]


async def test_what_comes_while_all_is_caught_up_is_let_go(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Else runs that take longer than from slot to slot would be behind for ever after."""
    slow = Pipeline("slow", double.sleep_for(5 * MINUTE))
    place = storage()
    async with Runtime(place, pipelines=[slow], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("often", slow, input=1, every=2 * MINUTE, catch_up="all")
        await clock.advance(5 * MINUTE)
    async with Runtime(place, pipelines=[slow], clock=clock) as runtime:
        await clock.advance(SECOND)
        assert await slots(runtime, "often") == ["02:00"]
        await clock.advance(5 * MINUTE)
        assert await slots(runtime, "often") == ["02:00", "04:00"]
        await clock.advance(25 * MINUTE)
        schedule = await runtime.schedules.get("often")
        assert schedule.next_at is not None
        assert schedule.next_at > clock.now() - MINUTE
        assert len(await slots(runtime, "often")) < 8


# --------------------------------------------------------------------- commands
async def test_pause_and_resume(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A paused one fires nothing, also if it is stored again; afterwards it goes on with the next slot."""
    async with open_runtime(doubling) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP)
        paused = await runtime.schedules.pause("often")
        assert (paused.paused, paused.next_at) == (True, None)
        assert await runtime.schedules.pause("often") == paused
        again = await runtime.schedules.put("often", doubling, input=2, every=2 * STEP)
        assert (again.paused, again.next_at) == (True, None)
        await clock.advance(5 * STEP)
        assert await states(runtime) == {}
        resumed = await runtime.schedules.resume("often")
        assert resumed.next_at == clock.now() + STEP
        await clock.advance(STEP)
        assert await slots(runtime, "often") == ["01:00"]


async def test_another_rule_begins_from_now_on(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """And a new input counts from the next run on."""
    async with open_runtime(doubling) as runtime:
        await runtime.schedules.put("s", doubling, input=1, every=STEP)
        await clock.advance(STEP)
        changed = await runtime.schedules.put("s", doubling, input=5, cron="5/10 * * * * *")
        assert changed.next_at == clock.now() + 5 * SECOND
        await clock.advance(5 * SECOND)
        assert await slots(runtime, "s") == ["00:10", "00:15"]
        found = [await runtime.get(run.id, doubling) async for run in runtime.find(order="oldest")]
        assert [await handle.result() for handle in found] == [2, 10]


async def test_a_deleted_one_fires_nothing(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Its runs stay."""
    async with open_runtime(doubling) as runtime:
        for name in ("b", "a"):
            await runtime.schedules.put(name, doubling, input=1, every=STEP)
        assert [schedule.name for schedule in await runtime.schedules.list()] == ["a", "b"]
        await clock.advance(STEP)
        await runtime.schedules.delete("a")
        await clock.advance(STEP)
        assert await slots(runtime, "a") == ["00:10"]
        assert await slots(runtime, "b") == ["00:10", "00:20"]


async def test_trigger(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A run now, apart from the slots, also of one that is paused."""
    async with open_runtime(telling) as runtime:
        await runtime.schedules.put("daily", telling, input=SLOT, cron="0 6 * * *")
        await runtime.schedules.pause("daily")
        for _ in range(2):
            handle = await runtime.schedules.trigger("daily")
            assert await handle.result() == "2030-01-01T00:00:00+00:00"
        (found, _) = [run async for run in runtime.find(attributes={"schedule": "daily"})]
        assert (found.key, found.attributes) == (None, {"schedule": "daily"})


async def test_what_is_to_come_is_told(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """The next slots, in the time zone of the schedule, also of one that is paused; not more than there are."""
    async with open_runtime(telling) as runtime:
        berlin = {"cron": "30 2 * * *", "tz": "Europe/Berlin"}
        await runtime.schedules.put("nightly", telling, input=SLOT, **berlin)
        expected = ["2030-01-01T02:30:00+01:00", "2030-01-02T02:30:00+01:00"]
        for _ in range(2):
            found = await runtime.schedules.upcoming("nightly", limit=2)
            assert [slot.isoformat() for slot in found] == expected
            await runtime.schedules.pause("nightly")
        for wrong in (0, 101, True, "2", 3.0):
            with pytest.raises(ScheduleError, match="no number from 1 to 100"):
                await runtime.schedules.upcoming("nightly", limit=wrong)


@BOTH_LOOPS
async def test_backfill(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A run for each slot of a past time that has none, from the first moment on and before the last; not twice."""
    async with open_runtime(telling) as runtime:
        await runtime.schedules.put("often", telling, input=SLOT, cron="*/10 * * * * *")
        await clock.advance(STEP)
        begin = clock.now() - 3 * STEP
        for _ in range(2):
            handles = await runtime.schedules.backfill("often", since=begin, until=clock.now())
            results = [await handle.result() for handle in handles]
            assert results == [f"2029-12-31T23:59:{second}+00:00" for second in (40, 50)] + [
                "2030-01-01T00:00:00+00:00"
            ]
        assert await states(runtime) == {"COMPLETED": 4}


async def test_a_slot_that_was_filled_in_is_not_fired(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """And the other way round, even if the input is another one by now."""
    async with Runtime(storage(), pipelines=[doubling], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP, overlap="allow")
        await clock.advance(STEP + SECOND)
        (filled,) = await runtime.schedules.backfill("often", since=clock.now() - STEP, until=clock.now())
    async with Runtime(storage(), pipelines=[doubling], clock=clock) as runtime:
        await clock.advance(SECOND)
        assert await states(runtime) == {"COMPLETED": 1}
        often = await runtime.schedules.get("often")
        assert (often.last_slot, often.next_at) == (
            datetime(2030, 1, 1, 0, 0, 10, tzinfo=UTC),
            datetime(2030, 1, 1, 0, 0, 20, tzinfo=UTC),
        )
        await runtime.schedules.put("often", doubling, input=9, every=STEP, overlap="allow")
        (same,) = await runtime.schedules.backfill("often", since=clock.now() - STEP, until=clock.now())
        assert same.id == filled.id
        assert await same.result() == 2


# --------------------------------------------------------------------- what is left alone, and told
async def test_a_pipeline_that_is_not_here_is_left_to_others(
    database: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once; the slot waits for a process that has it."""
    async with Runtime(database(), pipelines=[doubling], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP)
    async with Runtime(database(), pipelines=[telling], clock=clock) as runtime:
        await clock.advance(STEP + 3 * SECOND)
        assert await states(runtime) == {}
        (record,) = [each for each in caplog.records if each.name == "phaseline.schedules"]
        assert "'doubling', version '1', is not registered" in record.getMessage()
        with pytest.raises(PipelineNotRegisteredError, match="doubling"):
            await runtime.schedules.trigger("often")
    async with Runtime(database(), pipelines=[doubling], clock=clock) as runtime:
        await clock.advance(timedelta(seconds=1))
        assert await slots(runtime, "often") == ["00:10"]


async def test_a_time_zone_that_is_not_here_is_left_to_others(
    database: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of other zones are fired all the same. It is known elsewhere: in the memory of one process there is none."""
    place = database()
    async with Runtime(place, pipelines=[doubling, telling], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("gone", doubling, input=1, cron="* * * * *")
        await runtime.schedules.put("here", telling, input=SLOT, cron="* * * * *")
        await change(place, "gone", zone="Mars/Phobos")
    async with Runtime(database(), pipelines=[doubling, telling], clock=clock) as runtime:
        await clock.advance(2 * MINUTE + SECOND)
        assert ["01:00", "02:00"] == await slots(runtime, "here")
        assert [] == await slots(runtime, "gone")
        (record,) = [each for each in caplog.records if each.name == "phaseline.schedules"]
        assert "'gone' is due, and left to other processes: time zone 'Mars/Phobos'" in record.getMessage()
        with pytest.raises(ScheduleError, match="'Mars/Phobos' is not known on this machine; install"):
            await runtime.schedules.trigger("gone")
        with pytest.raises(ScheduleNotFoundError):
            await runtime.schedules.restricted(never).trigger("gone")
        await runtime.schedules.delete("gone")


async def test_a_cron_text_that_cannot_be_read_holds_up_no_other(
    storage: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once, and a problem of the health; who wants to go on with it is told what to do."""
    place = storage()
    async with Runtime(place, pipelines=[doubling], clock=clock, serve=False) as runtime:
        for name in ("bad", "good"):
            await runtime.schedules.put(name, doubling, input=1, cron="* * * * *")
        await change(place, "bad", cron="* * * * JOUR")
    async with Runtime(place, pipelines=[doubling], clock=clock) as runtime:
        await clock.advance(3 * MINUTE + SECOND)
        assert ["01:00", "02:00", "03:00"] == await slots(runtime, "good")
        assert [] == await slots(runtime, "bad")
        (record,) = [each for each in caplog.records if each.name == "phaseline.schedules"]
        assert "'bad' is due, and left to other processes: its slots cannot be told" in record.getMessage()
        assert ["bad"] == [schedule.name for schedule in (await runtime.health()).schedules]
        await runtime.schedules.pause("bad")
        refused = "schedule 'bad': .*JOUR' cannot be read.*put it anew, or delete it"
        with pytest.raises(ScheduleError, match=refused):
            await runtime.schedules.resume("bad")
        with pytest.raises(ScheduleError, match=refused):
            await runtime.schedules.upcoming("bad")
        with pytest.raises(ScheduleError, match=refused):
            await runtime.schedules.backfill("bad", since=clock.now() - MINUTE, until=clock.now())
        await runtime.schedules.put("bad", doubling, input=1, cron="* * * * *")
        await runtime.schedules.resume("bad")
        await clock.advance(MINUTE)
        assert ["04:00"] == await slots(runtime, "bad")


@pytest.mark.parametrize(("is_changed", "seconds"), [(True, 1), (False, 60)])
async def test_what_could_not_be_decided_is_looked_at_again(
    storage: Callable[[], Storage],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    is_changed: bool,
    seconds: int,
) -> None:
    """At once where it was changed, and else a minute after it was: what stood in the way may be gone."""
    place, decided = storage(), scheduling.turn_of
    async with Runtime(place, pipelines=[doubling], clock=clock) as runtime:
        await runtime.schedules.put("s", doubling, input=1, every=90 * SECOND)
        monkeypatch.setattr(scheduling, "turn_of", None)
        await clock.advance(91 * SECOND)
        monkeypatch.setattr(scheduling, "turn_of", decided)
        if is_changed:
            await change(place, "s", priority=1)
        assert [] == await slots(runtime, "s")
        await clock.advance(seconds * SECOND)
        assert ["01:30"] == await slots(runtime, "s")


async def test_a_slot_of_an_earlier_version_is_not_filled_in_again(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Though nothing of that run can be read here; the slots around it are filled in."""
    newer = Pipeline("telling", tell, version="2")
    async with Runtime(storage(), pipelines=[telling], clock=clock) as runtime:
        await runtime.schedules.put("often", telling, input=SLOT, every=STEP)
        begin = clock.now()
        await clock.advance(STEP)
        await runtime.schedules.pause("often")
        await clock.advance(2 * STEP)
        (fired,) = [run.id async for run in runtime.find()]
    async with Runtime(storage(), pipelines=[newer], clock=clock) as runtime:
        await runtime.schedules.put("often", newer, input=SLOT, every=STEP)
        first, earlier, *later = await runtime.schedules.backfill("often", since=begin, until=clock.now())
        assert earlier.id == fired
        assert ["00:00", "00:10", "00:20"] == await slots(runtime, "often")
        for handle in (first, *later):
            await handle.result()
        with pytest.raises(PipelineNotRegisteredError, match="version '1'"):
            await earlier.result()


async def test_an_input_that_fits_no_more_is_told(
    storage: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Its slot is let go, and no run of it is claimed; other schedules are fired."""

    @phase(name="double")
    async def changed(words: list[str]) -> str:
        return " ".join(words)

    async with Runtime(storage(), pipelines=[doubling, telling], clock=clock, serve=False) as runtime:
        await runtime.schedules.put("broken", doubling, input=1, every=STEP)
        await runtime.schedules.put("sound", telling, input=SLOT, every=STEP)
    now = Pipeline("doubling", changed)
    async with Runtime(storage(), pipelines=[now, telling], clock=clock) as runtime:
        await clock.advance(STEP)
        assert (await slots(runtime, "broken"), await slots(runtime, "sound")) == ([], ["00:10"])
        (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "schedule 'broken'" in told.getMessage()
        broken = await runtime.schedules.get("broken")
        assert (broken.last_slot, broken.next_at) == (None, clock.now() + STEP)


async def test_a_mistake_in_one_holds_up_no_other(
    open_runtime: OpenRuntime,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor does it stay with the slot at which it was made."""
    made = scheduling.input_of

    def mistaken(plan: Plan, schedule: ScheduleRecord, slot: datetime) -> Any:
        if (schedule.name, slot.second) == ("bad", 10):
            raise IndexError
        return made(plan, schedule, slot)

    monkeypatch.setattr(scheduling, "input_of", mistaken)
    async with open_runtime(doubling) as runtime:
        for name in ("bad", "good"):
            await runtime.schedules.put(name, doubling, input=1, every=STEP)
        await clock.advance(2 * STEP)
        assert ["00:20"] == await slots(runtime, "bad")
        assert ["00:10", "00:20"] == await slots(runtime, "good")
    (told,) = [record for record in caplog.records if record.name == "phaseline.schedules"]
    assert "schedule 'bad': its run of 2030-01-01 00:00:10" in told.getMessage()
    assert told.exc_info is not None


async def test_one_that_cannot_be_stored_holds_up_no_other(
    storage: Callable[[], Storage],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its batch is stored without it, and it is left alone for a while."""
    place, tries = storage(), list[int]()
    async with Runtime(place, pipelines=[doubling], clock=clock) as runtime:
        fire = place.timetable.fire

        def refuse(firings: Sequence[Firing]) -> Sequence[Outcome]:
            if any(firing.schedule.name == "bad" for firing in firings):
                tries.append(len(firings))
                raise StorageRefusedError("the storage", "no room for it")
            return fire(firings)

        for name in ("bad", "good"):
            await runtime.schedules.put(name, doubling, input=1, every=STEP)
        monkeypatch.setattr(type(place.timetable), "fire", lambda _, firings: refuse(firings))
        await clock.advance(2 * STEP)
        assert ["00:10", "00:20"] == await slots(runtime, "good")
        assert (await slots(runtime, "bad"), tries) == ([], [2, 1])
        await clock.advance(scheduling.PAUSE)
        assert tries.count(1) == 2
    assert caplog.text.count("schedule 'bad' is due, and left to other processes: it cannot be stored") == 1


# --------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"cron": "0 0 30 2 *"}, ScheduleError, "never fire"),
        ({"cron": "0 6 * * *", "tz": "Mars/Olympus"}, ScheduleError, "no time zone 'Mars/Olympus'"),
        ({}, ScheduleError, "one of the two"),
        ({"every": STEP, "cron": "0 6 * * *"}, ScheduleError, "one of the two"),
        ({"every": STEP, "input": "many"}, InvalidInputError, "doubling"),
        ({"every": STEP, "input": SLOT}, InvalidInputError, "doubling"),
        ({"every": STEP, "overlap": "perhaps"}, ScheduleError, "'skip', 'allow', 'queue'"),
        ({"every": STEP, "catch_up": True}, ScheduleError, "'latest', 'all', 'none'"),
        ({"every": STEP, "priority": 1_000}, ValueError, "outside of 0"),
        ({"every": STEP, "tags": [""]}, InvalidMarkError, "a tag"),
        ({"every": STEP, "attributes": {"slot": 1}}, ScheduleError, "by themselves"),
        ({"every": STEP, "attributes": {f"a{n}": n for n in range(31)}}, ScheduleError, "at most 30"),
        ({"every": STEP, "attributes": 5}, InvalidMarkError, "a mapping of names"),
        ({"every": STEP, "name": ""}, ScheduleError, "1 to 100"),
        ({"every": STEP, "name": "a\nb"}, ScheduleError, "can be printed"),
        ({"every": STEP, "pipeline": "doubling"}, DefinitionError, "only a name"),
        ({"every": STEP, "pipeline": telling}, PipelineNotRegisteredError, "'telling' is not registered"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_before_anything_is_stored(
    given: dict[str, Any], error: type[Exception], told: str
) -> None:
    """Each with what is wrong and what to do."""
    given = {"name": "s", "pipeline": doubling, "input": 1, **given}
    async with Runtime(pipelines=[doubling]) as runtime:
        with pytest.raises(error) as caught:
            await runtime.schedules.put(given.pop("name"), given.pop("pipeline"), **given)
        assert told in str(caught.value)
        assert list(await runtime.schedules.list()) == []


async def test_who_is_not_there_is_told(clock: FakeClock) -> None:
    """By every command, with the names that there are."""
    async with Runtime(pipelines=[doubling], clock=clock) as runtime:
        schedules = runtime.schedules
        await schedules.put("here", doubling, input=1, every=STEP)
        for command in (
            schedules.get,
            schedules.delete,
            schedules.pause,
            schedules.resume,
            schedules.trigger,
        ):
            with pytest.raises(ScheduleNotFoundError, match="known: 'here'"):
                await command("there")
            with pytest.raises(ScheduleNotFoundError, match="known: 'here'"):
                await command("\ud800")
        with pytest.raises(ScheduleNotFoundError, match="known: 'here'"):
            await schedules.backfill("there", since=clock.now() - STEP, until=clock.now())


async def test_restricted_ones_are_all_there_is(clock: FakeClock) -> None:
    """No other is told, by its name neither, nor changed; also one that others store while it is asked about one to be."""
    async with Runtime(pipelines=[doubling], clock=clock) as runtime:
        given: dict[str, Any] = {"input": 1, "every": STEP}

        async def may(schedule: Schedule) -> bool:
            if schedule.name == "raced" and "mine" in schedule.tags:
                await runtime.schedules.put("raced", doubling, **given)
            return "mine" in schedule.tags

        mine = runtime.schedules.restricted(may)
        await runtime.schedules.put("theirs", doubling, **given)
        await mine.put("here", doubling, **given, tags=["mine"])
        for command in (mine.get, mine.delete, mine.pause, mine.resume, mine.trigger, mine.upcoming):
            for name in ("theirs", "there"):
                with pytest.raises(ScheduleNotFoundError, match="known: 'here'"):
                    await command(name)
        for name in ("theirs", "raced"):
            with pytest.raises(ScheduleNotFoundError, match="known: 'here'"):
                await mine.put(name, doubling, **given, tags=["mine"])
        with pytest.raises(ForbiddenError):
            await mine.put("here", doubling, **given)
        assert [schedule.name for schedule in await mine.list()] == ["here"]
        assert [schedule.tags for schedule in await runtime.schedules.list()] == [("mine",), (), ()]


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("2029-01-01", datetime(2029, 1, 2, tzinfo=UTC), "aware.*'2029-01-01'"),
        (datetime.min.replace(tzinfo=UTC), datetime(2029, 1, 2, tzinfo=UTC), "before 1970"),
        (datetime(2029, 1, 1), datetime(2029, 1, 2, tzinfo=UTC), "aware"),  # noqa: DTZ001  # to be refused
        (datetime(2029, 1, 2, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC), "no time that has passed"),
        (datetime(2029, 12, 31, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC), "no time that has passed"),
        (datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC), "more than 10000 slots"),
    ],
)
async def test_no_time_can_be_filled_in_but_a_past_one(
    clock: FakeClock, since: Any, until: datetime, told: str
) -> None:
    """Nothing is begun."""
    async with Runtime(pipelines=[doubling], clock=clock) as runtime:
        await runtime.schedules.put("often", doubling, input=1, every=STEP)
        with pytest.raises(ScheduleError, match=told):
            await runtime.schedules.backfill("often", since=since, until=until)
        assert await states(runtime) == {}
