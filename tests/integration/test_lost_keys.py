"""What a key that is gone makes unreadable keeps nobody from the rest: not who hears of all runs, nor who looks at schedules."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio
import attrs
import pytest
from msgspec.structs import replace
from tests.loops import anyio_backend  # noqa: F401  # the fixture

from phaseline import SLOT, Context, CustomEvent, Event, Pipeline, RunHandle, Runtime, phase
from phaseline.abc import Storage
from phaseline.cli.schedules import _row
from phaseline.crypto import EncryptedCodec, encrypted
from phaseline.errors import DecryptionError, ScheduleNotFoundError
from phaseline.schedule import Schedule
from phaseline.testing import FakeClock
from phaseline.views import ScheduleView
from phaseline.web import Access
from phaseline.web.feed import Feed
from phaseline.web.guard import Visitor
from phaseline.web.hub import LOOK, Ending, Hubs, Told

OLD, NEW = {"old": secrets.token_bytes(32)}, {"new": secrets.token_bytes(32)}


class Seen(CustomEvent):
    what: int


@phase
async def see(value: int, ctx: Context) -> int:
    ctx.emit(Seen(what=value))
    if value < 0:
        raise ValueError(value)
    return value


@phase
async def check(value: int) -> int:
    if value < 0:
        raise ValueError(value)
    return value


seeing, quiet = Pipeline("seeing", see), Pipeline("quiet", check)


async def ended(runtime: Runtime, value: int) -> RunHandle[int]:
    """A run that completed, or failed with words where the value is negative."""
    handle = await runtime.start(seeing, value)
    await handle.wait()
    return handle


@asynccontextmanager
async def with_two_lost(
    storage: Callable[[], Storage], clock: FakeClock
) -> AsyncGenerator[tuple[Runtime, list[Event]]]:
    """A runtime without the key of two runs: of one the row cannot be read, of the other the events alone; gives the last of each."""
    async with Runtime(encrypted(storage(), EncryptedCodec(OLD)), pipelines=[seeing], clock=clock) as runtime:
        handles = [await ended(runtime, value) for value in (-1, 1)]
        last = [[event async for event in handle.events()][-1] for handle in handles]
    async with Runtime(encrypted(storage(), EncryptedCodec(NEW)), pipelines=[seeing], clock=clock) as runtime:
        yield runtime, last


def of_later(event: Event) -> Event:
    """An event as it might come next but one of a run."""
    return replace(event, seq=(event.seq or 0) + 2)


def told_of(caplog: pytest.LogCaptureFixture, runs: list[Event]) -> list[int]:
    """How often the log says of each run that it is passed over."""
    return [caplog.text.count(f"run {event.run_id} is passed over") for event in runs]


def ends(events: list[Event]) -> list[str]:
    """Runs that ended."""
    return [event.run_id for event in events if event.type == "PIPELINE_COMPLETED"]


# --------------------------------------------------------------------- who hears of all runs
async def test_who_walks_through_all_events(
    storage: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Is told those of the others, stored ones and live ones; and once in the log which are passed over."""
    since, found = clock.now(), list[Event]()
    async with with_two_lost(storage, clock) as (runtime, lost):
        stored = await ended(runtime, 2)
        async with runtime.events(since=since, after={lost[1].run_id: 2}) as events:
            with anyio.fail_after(10):
                while stored.id not in ends(found):
                    found.append(await anext(events))
                for event in lost:
                    runtime.bus.tell([of_later(event)])
                live = await ended(runtime, 3)
                while live.id not in ends(found):
                    found.append(await anext(events))
    assert {event.run_id for event in found} == {stored.id, live.id}
    assert told_of(caplog, lost) == [1, 1]


async def test_who_walks_through_those_of_the_one_run(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Is told why there are none."""
    async with with_two_lost(storage, clock) as (runtime, lost):
        for run_id in (event.run_id for event in lost):
            with anyio.fail_after(10), pytest.raises(DecryptionError, match="the key 'old' is not there"):
                await anext(runtime.events(after={run_id: 0}, run=run_id))


@asynccontextmanager
async def listening(runtime: Runtime) -> AsyncGenerator[tuple[Feed[Any], list[Event], Callable[..., Any]]]:
    """A client of live events, what it got, and what waits until something holds of that."""
    got, news = list[Event](), anyio.Event()

    async def take(told: Told | Any) -> None:
        nonlocal news
        got.append(told.event)
        news.set()
        news = anyio.Event()

    async def until(holds: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not holds():
                await news.wait()

    with Feed[Any](Hubs().of(runtime), Visitor(Access("somebody"), runtime)) as feed:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(feed.serve, take)
            yield feed, got, until
            assert feed.ending is None
            feed.end(Ending.LEFT)


async def test_a_client_of_live_events(
    storage: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Is not ended by runs that it takes up again, or asks for, and that cannot be read: it would be so each time that it comes."""
    async with with_two_lost(storage, clock) as (runtime, lost):
        stored = await ended(runtime, 2)
        async with listening(runtime) as (feed, got, until):
            await feed.follow_run(lost[1].run_id)
            await feed.follow_all(after={lost[0].run_id: 0, stored.id: 0})
            await until(lambda: stored.id in ends(got))
            for event in lost:
                runtime.bus.tell([of_later(event)])
                feed.moved(event.run_id, (event.seq or 0) + 3)
            live = await ended(runtime, 3)
            await until(lambda: live.id in ends(got))
    assert {event.run_id for event in got} == {stored.id, live.id}
    assert told_of(caplog, lost) == [1, 1]


async def test_runs_that_are_followed_elsewhere(
    database: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One that fails with words of another key keeps those behind it from being looked at no more than once."""
    both = encrypted(database(), EncryptedCodec({**NEW, **OLD}))
    async with (
        Runtime(
            encrypted(database(), EncryptedCodec(OLD)), pipelines=[quiet], clock=clock, serve=False
        ) as front,
        listening(front) as (feed, got, until),
    ):
        handles = [await front.start(quiet, value) for value in (-1, 1)]
        for handle in handles:
            await feed.follow_run(handle.id)
        async with Runtime(both, pipelines=[quiet], clock=clock) as worker:
            for handle in handles:
                await (await worker.get(handle.id)).wait()
            await until(lambda: handles[1].id in ends(got))
            await anyio.sleep(2.5 * LOOK)
    assert caplog.text.count(f"run {handles[0].id} is followed, and cannot be read any more") == 1


# --------------------------------------------------------------------- schedules
HOUR = timedelta(hours=1)


def open_with(storage: Callable[[], Storage], clock: FakeClock, keys: dict[str, bytes]) -> Runtime:
    """A runtime with these keys."""
    return Runtime(encrypted(storage(), EncryptedCodec(keys)), pipelines=[quiet, at], clock=clock)


@phase
async def tell(slot: datetime) -> str:
    return slot.isoformat()


at = Pipeline("at", tell)


@asynccontextmanager
async def with_a_lost_schedule(
    storage: Callable[[], Storage], clock: FakeClock
) -> AsyncGenerator[tuple[Runtime, Schedule]]:
    """A runtime without the key of the input of a schedule, and that one as it was; there is one of a key that is here, and one without an input."""
    async with open_with(storage, clock, OLD) as runtime:
        lost = await runtime.schedules.put("lost", quiet, input=1, every=HOUR, tags=["kept"])
    async with open_with(storage, clock, NEW) as runtime:
        await runtime.schedules.put("sound", quiet, input=2, every=HOUR)
        await runtime.schedules.put("slots", at, input=SLOT, every=HOUR)
        yield runtime, lost


async def test_a_schedule_is_told_of_without_its_input(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """In the list, among the others, and alone; with the reason why no run of it can begin, which whoever asks for one is told."""
    async with with_a_lost_schedule(storage, clock) as (runtime, lost):
        found = {schedule.name: schedule for schedule in await runtime.schedules.list()}
        unreadable = found["lost"].unreadable or ""
        assert (
            found["lost"] == attrs.evolve(lost, unreadable=unreadable) == await runtime.schedules.get("lost")
        )
        assert unreadable.startswith("what is stored cannot be decrypted: the key 'old' is not there")
        assert [found["sound"].unreadable, found["slots"].unreadable] == [None, None]
        view = ScheduleView.of(found["lost"])
        assert (view.unreadable, "unreadable here" in _row(view)) == (unreadable, True)
        with pytest.raises(DecryptionError, match="the key 'old' is not there"):
            await runtime.schedules.trigger("lost")
        with pytest.raises(ScheduleNotFoundError, match="'lost', 'slots', 'sound'"):
            await runtime.schedules.get("none")


async def test_a_schedule_is_paused_and_resumed_without_its_input(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Which stays as it is stored: who has its key fires it then."""
    async with with_a_lost_schedule(storage, clock) as (runtime, _):
        paused = await runtime.schedules.pause("lost")
        assert (paused.paused, paused.next_at) == (True, None)
        resumed = await runtime.schedules.resume("lost")
        assert (resumed.paused, resumed.next_at) == (False, clock.now() + HOUR)
    async with open_with(storage, clock, OLD) as runtime:
        handle = await runtime.schedules.trigger("lost")
        assert await handle.result() == 1
        assert (await runtime.schedules.get("lost")).unreadable is None


async def test_a_schedule_is_given_another_input_without_the_one_before(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """As any is that is stored anew: it goes on where it was."""
    async with with_a_lost_schedule(storage, clock) as (runtime, lost):
        await clock.advance(HOUR / 2)
        put = await runtime.schedules.put("lost", quiet, input=3, every=HOUR, tags=["kept"])
        assert put == attrs.evolve(lost, updated_at=clock.now())
        await clock.advance(HOUR)
        (run,) = (await runtime.find(attributes={"schedule": "lost"})).runs
        assert await (await runtime.get(run.id, quiet)).result() == 3
