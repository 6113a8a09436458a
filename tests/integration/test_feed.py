"""What one client of live events hears: complete, in order, bounded, and only what it may."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import anyio
import pytest

from phaseline import Context, CustomEvent, Event, Pipeline, RunSummary, Runtime, phase
from phaseline.abc import Storage
from phaseline.errors import (
    DefinitionError,
    ForbiddenError,
    RunNotFoundError,
    RuntimeNotOpenError,
    StorageUnavailableError,
    SubscriptionError,
    SubscriptionLimitError,
)
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import FakeClock
from phaseline.transports.memory import MemoryTransport
from phaseline.web import Access, Action, followed
from phaseline.web.feed import Feed, FeedLimits
from phaseline.web.guard import Visitor
from phaseline.web.hub import EVERYTHING, PAGE, Ending, Hubs, Told, Topic

OpenRuntime: TypeAlias = Callable[..., Runtime]
ANYBODY = Access("somebody")


class Counted(CustomEvent):
    number: int


@phase
async def count(to: int, ctx: Context) -> int:
    for number in range(to):
        ctx.emit(Counted(number=number))
    return to


@phase
async def tell(to: int, ctx: Context) -> int:
    ctx.progress(to, 10)
    return to


counting, telling = Pipeline("counting", count), Pipeline("telling", tell)


@pytest.fixture
def storage() -> Callable[[], Storage]:
    """One storage is enough: what is read of it is the contract's."""
    memory = MemoryStorage()
    return lambda: memory


class Client:
    """Takes what is sent to it, unless it is told not to."""

    def __init__(self, feed: Feed[Any]) -> None:
        self.feed = feed
        self.got: list[Event] = []
        self.ended: Ending | None = None
        self.news = anyio.Event()
        self.reads = anyio.Event()
        self.reads.set()

    async def take(self, item: Any) -> None:
        await self.reads.wait()
        self.got.append(item.event if isinstance(item, Told) else item)
        self.news.set()

    async def serve(self) -> None:
        self.ended = await self.feed.serve(self.take)
        self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(5):
            while not holds():
                self.news = anyio.Event()
                await self.news.wait()

    def numbers(self, run_id: str) -> list[int | None]:
        return [event.seq for event in self.got if event.run_id == run_id]

    def ends(self) -> int:
        return sum(event.type == "PIPELINE_COMPLETED" for event in self.got)


@asynccontextmanager
async def listening(
    runtime: Runtime, access: Access = ANYBODY, hubs: Hubs | None = None, **limits: Any
) -> AsyncGenerator[Client]:
    """One client of a runtime, served."""
    feed: Feed[Any] = Feed((hubs or Hubs()).of(runtime), Visitor(access, runtime), FeedLimits(**limits))
    with feed:
        client = Client(feed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.serve)
            yield client
            feed.end(Ending.LEFT)


# --------------------------------------------------------------------- complete and in order
async def test_stored_events_come_first_then_live_ones(open_runtime: OpenRuntime) -> None:
    """From the number asked for to the end, each once, in order, also past a page."""
    async with open_runtime(counting) as runtime, listening(runtime) as client:
        handle = await runtime.start(counting, 2 * PAGE)
        last = await client.feed.follow_run(handle.id, after=2)
        await handle.result()
        run = await runtime.get(handle.id)
        stored = [event.seq async for event in run.events(after=2)]
        await client.until(lambda: client.ends() == 1)

    assert last <= 2 * PAGE + 5
    assert stored == client.numbers(handle.id) == list(range(3, 2 * PAGE + 6))


async def test_a_client_that_was_away_has_missed_nothing(open_runtime: OpenRuntime) -> None:
    """It goes on after the last number that it knows."""
    async with open_runtime(counting) as runtime:
        async with listening(runtime) as first:
            handle = await runtime.start(counting, 3)
            await first.feed.follow_run(handle.id)
            await first.until(lambda: len(first.got) >= 2)
        seen = [number for number in first.numbers(handle.id) if number is not None]
        await handle.result()
        async with listening(runtime) as second:
            await second.feed.follow_run(handle.id, after=seen[-1])
            await second.until(lambda: second.ends() + first.ends() >= 1)
            await handle.restart()
            await handle.result()
            await second.until(lambda: second.ends() + first.ends() >= 2)

    got = seen + second.numbers(handle.id)
    assert got == list(range(1, len(got) + 1))


async def test_everything_and_pipelines(open_runtime: OpenRuntime) -> None:
    """An event is told once to a client, however many of its subscriptions cover it."""
    async with open_runtime(counting, telling) as runtime, listening(runtime) as client:
        await client.feed.follow_all()
        await client.feed.follow_all("counting")
        one, two = await runtime.start(counting, 1), await runtime.start(telling, 1)
        await client.until(lambda: client.ends() == 2)
        await client.feed.unfollow(EVERYTHING)
        three, four = await runtime.start(telling, 1), await runtime.start(counting, 1)
        await three.result()
        await client.until(lambda: client.ends() == 3)

    assert client.numbers(one.id) == list(range(1, 7)) == client.numbers(four.id)
    assert [number for number in client.numbers(two.id) if number] == list(range(1, 6))
    assert "PHASE_PROGRESS" in {event.type for event in client.got}
    assert [] == client.numbers(three.id)


async def test_a_wide_subscription_is_taken_up_again(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Runs that are known go on after their numbers, runs that began meanwhile are told whole, also those that have ended."""
    async with open_runtime(counting) as runtime:
        old = await runtime.start(counting, 1)
        await old.result()
        async with listening(runtime) as client:
            newest = await client.feed.follow_all("counting")
        await clock.advance(timedelta(seconds=1))
        begun = await runtime.start(counting, 1)
        await begun.result()
        async with listening(runtime) as client:
            again = await client.feed.follow_all("counting", after={old.id: 4}, newer_than=newest)
            await client.until(lambda: client.ends() == 2)
            live = await runtime.start(counting, 1)
            await client.until(lambda: client.ends() == 3)

    assert (old.id, begun.id) == (newest, again)
    assert ([5, 6], list(range(1, 7)), list(range(1, 7))) == tuple(
        map(client.numbers, (old.id, begun.id, live.id))
    )


class LookedUp:
    """Holds up looks for runs until it is told to answer them, with an error where one is given."""

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self._read, self._find = runtime.runner.read, runtime.runner.storage.find
        self.error: StorageUnavailableError | None = None
        self.asked, self.answers = anyio.Event(), anyio.Event()
        monkeypatch.setattr(runtime.runner, "read", self)

    async def __call__(self, read: Any) -> Any:
        if getattr(read, "func", None) == self._find:
            self.asked.set()
            await self.answers.wait()
            if self.error is not None:
                raise self.error
        return await self._read(read)


@pytest.mark.parametrize("access", [ANYBODY, Access("a", may=lambda action, run: True)], ids=["all", "asked"])
async def test_what_happens_while_it_is_looked_up_what_is_taken_up_again_is_told_in_order(
    open_runtime: OpenRuntime, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, access: Access
) -> None:
    """Once, after what was before, of runs that the client knows, of those that began meanwhile, and of all others."""
    async with open_runtime(counting) as runtime, listening(runtime, access) as client:
        known, silent = [await runtime.start(counting, 0, delay=timedelta(hours=1)) for _ in range(2)]
        await clock.advance(timedelta(seconds=1))
        begun = await runtime.start(counting, 0, delay=timedelta(hours=1))
        runs = (known, silent, begun)
        for run in runs:
            await run.annotate("before")
        looked_up = LookedUp(runtime, monkeypatch)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                partial(client.feed.follow_all, after={known.id: 0}, newer_than=max(known.id, silent.id))
            )
            await looked_up.asked.wait()
            for run in runs:
                await run.annotate("meanwhile")
            await anyio.wait_all_tasks_blocked()
            looked_up.answers.set()
        for run in runs:
            await run.annotate("afterwards")
        await client.until(lambda: len(client.got) >= 8)

    assert ([1, 2, 3], [2, 3], [1, 2, 3]) == tuple(client.numbers(run.id) for run in runs)


async def test_what_happens_while_nothing_can_be_taken_up_again_is_told_by_others(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription that is refused takes nothing away from the one that there is."""
    async with open_runtime(counting) as runtime, listening(runtime) as client:
        run = await runtime.start(counting, 0, delay=timedelta(hours=1))
        await client.feed.follow_all()
        looked_up = LookedUp(runtime, monkeypatch)
        looked_up.error = StorageUnavailableError("memory", "away", "wait")

        async def subscribe() -> None:
            with pytest.raises(StorageUnavailableError):
                await client.feed.follow_all("counting", newer_than="0")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subscribe)
            await looked_up.asked.wait()
            await run.annotate("meanwhile")
            await anyio.wait_all_tasks_blocked()
            looked_up.answers.set()
        await run.annotate("afterwards")
        await client.until(lambda: len(client.got) == 2)

    assert [1, 2] == client.numbers(run.id)


async def test_what_happens_while_nothing_more_is_found_of_a_run_is_told(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the end of the run, after which nothing comes that would have it read again; what was purged is looked for once."""
    async with open_runtime(counting) as runtime, listening(runtime) as client:
        run = await runtime.start(counting, 0)
        await run.result()
        last = await client.feed.follow_run(run.id, after=2**53)
        await client.feed.unfollow(Topic.run(run.id))
        read, events = runtime.runner.read, runtime.runner.storage.events
        found, goes_on, reads = anyio.Event(), anyio.Event(), list[int]()

        async def late(what: Any) -> Any:
            page = await read(what)
            if getattr(what, "func", None) == events:
                reads.append(len(page))
                found.set()
                await goes_on.wait()
            return page

        monkeypatch.setattr(runtime.runner, "read", late)
        await client.feed.follow_all(after={run.id: last})
        await found.wait()
        await run.annotate("meanwhile")
        await anyio.wait_all_tasks_blocked()
        goes_on.set()
        await client.until(lambda: client.got)
        client.feed.moved(run.id, last + 5)
        await anyio.wait_all_tasks_blocked()

    assert ([last + 1], [0, 1, 0]) == (client.numbers(run.id), reads)


async def test_too_much_that_happens_while_it_is_looked_up_what_is_taken_up_again_ends_it(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many runs are noted, and no more."""
    monkeypatch.setattr("phaseline.web.feed.MOST_RUNS", 1)
    async with open_runtime(counting) as runtime, listening(runtime) as client:
        runs = [await runtime.start(counting, 0, delay=timedelta(hours=1)) for _ in range(2)]
        looked_up = LookedUp(runtime, monkeypatch)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.feed.follow_all, newer_than="0"))
            await looked_up.asked.wait()
            for run in runs:
                assert client.ended is None
                await run.annotate("meanwhile")
            await client.until(lambda: client.ended is not None)
            looked_up.answers.set()

    assert Ending.SLOW is client.ended


async def test_what_the_bus_lost_is_read(open_runtime: OpenRuntime) -> None:
    """A gap in the numbers is filled from the storage, for followers of a run as for those of everything."""
    async with open_runtime(counting) as runtime:
        hubs = Hubs()
        async with listening(runtime, hubs=hubs) as wide, listening(runtime, hubs=hubs) as narrow:
            await wide.feed.follow_all()
            handle = await runtime.start(counting, 0)
            await narrow.feed.follow_run(handle.id)
            await handle.result()
            await wide.until(lambda: wide.ends() == 1)
            heard, lost = hubs.of(runtime)._heard, list[Event]()
            hear, heard.handler = heard.handler, lost.append
            await handle.restart()
            await handle.result()
            await runtime.bus.drain(5)
            heard.handler = hear
            await handle.annotate("nobody was told of what went before")
            await wide.until(lambda: wide.got[-1].type == "PIPELINE_ANNOTATED")
            await narrow.until(lambda: narrow.got[-1].type == "PIPELINE_ANNOTATED")
            last = wide.got[-1].seq

    assert len(lost) > 3
    assert last is not None
    assert list(range(1, last + 1)) == wide.numbers(handle.id) == narrow.numbers(handle.id)


async def test_what_another_process_wrote_is_found(
    clock: FakeClock, sqlite_storage: Callable[[], Storage]
) -> None:
    """Where nothing tells of it, the runs that are followed are looked at."""
    async with (
        Runtime(sqlite_storage(), pipelines=[counting], clock=clock) as worker,
        Runtime(sqlite_storage(), pipelines=[counting], clock=clock, serve=False) as front,
        listening(front) as client,
    ):
        handle = await worker.start(counting, 3)
        await client.feed.follow_run(handle.id)
        await client.until(lambda: client.ends() == 1)

    assert client.numbers(handle.id) == list(range(1, 9))


async def test_a_transport_tells_of_what_other_processes_do(
    clock: FakeClock, sqlite_storage: Callable[[], Storage]
) -> None:
    """Then who listens to everything hears it here, too, whole and in order."""
    transport = MemoryTransport()
    async with (
        Runtime(sqlite_storage(), pipelines=[counting], clock=clock, transport=transport) as worker,
        Runtime(
            sqlite_storage(), pipelines=[counting], clock=clock, transport=transport, serve=False
        ) as front,
        listening(front) as client,
    ):
        await client.feed.follow_all()
        handle = await worker.start(counting, 300)
        await client.until(lambda: client.ends() == 1)

    assert list(range(1, 306)) == client.numbers(handle.id)


# --------------------------------------------------------------------- bounded
async def test_a_client_that_does_not_read_is_let_go_of(open_runtime: OpenRuntime) -> None:
    """What waits for it stays within its buffer; another client, and the run, notice nothing."""
    hubs = Hubs()
    async with (
        open_runtime(counting) as runtime,
        listening(runtime, hubs=hubs, buffer=10, send_within=timedelta(milliseconds=50)) as slow,
        listening(runtime, hubs=hubs) as other,
    ):
        await slow.feed.follow_all()
        await other.feed.follow_all()
        slow.reads = anyio.Event()
        handle = await runtime.start(counting, 50)
        await other.until(lambda: other.ends() == 1)
        waiting = len(slow.feed._waiting)
        await slow.until(lambda: slow.ended is not None)

    assert Ending.SLOW is slow.ended
    assert 9 <= waiting <= 10  # one is being sent
    assert list(range(1, 56)) == other.numbers(handle.id)


@pytest.mark.parametrize("by", ["run", "everything"])
async def test_a_burst_is_no_fault_of_the_client(open_runtime: OpenRuntime, by: str) -> None:
    """What came at once and found no room in its buffer is read from the storage, in order with the rest."""
    async with open_runtime(counting) as runtime, listening(runtime, buffer=10) as client:
        if by == "everything":
            await client.feed.follow_all()
        handle = await runtime.start(counting, 300)
        if by == "run":
            await client.feed.follow_run(handle.id)
        await client.until(lambda: client.ends() == 1)
        await handle.annotate("live once more")
        await client.until(lambda: client.got[-1].type == "PIPELINE_ANNOTATED")

    assert list(range(1, 307)) == client.numbers(handle.id)


@pytest.mark.parametrize(("behind", "ending"), [(3, None), (4, Ending.SLOW)])
async def test_a_client_that_is_behind_in_too_many_runs_is_let_go_of(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch, behind: int, ending: Ending | None
) -> None:
    """Rather than be told nothing of some of them; one fewer is told whole."""
    monkeypatch.setattr(followed, "MOST_RUNS", 2)
    async with open_runtime(counting) as runtime, listening(runtime, buffer=1, subscriptions=1) as client:
        runs = [await runtime.start(counting, 0, delay=timedelta(hours=1)) for _ in range(2 + behind)]
        await client.feed.follow_all()
        client.reads = anyio.Event()
        for run in runs:  # one is being sent, one waits in the buffer
            await run.annotate("heard")
            await anyio.wait_all_tasks_blocked()
        ended = client.ended
        client.reads.set()
        if ending is None:
            await client.until(lambda: len(client.got) == len(runs))

    assert ending is ended
    assert ending is not None or {run.id for run in runs} == {event.run_id for event in client.got}


async def test_a_client_that_asks_and_does_not_read_is_let_go_of(open_runtime: OpenRuntime) -> None:
    """Answers are bounded, too."""
    async with open_runtime(counting) as runtime, listening(runtime, buffer=10) as client:
        client.reads = anyio.Event()
        for number in range(30):
            client.feed.answer(number)
        await client.until(lambda: client.ended is not None)

    assert Ending.SLOW is client.ended


async def test_a_message_that_is_not_taken_in_time_ends_it(open_runtime: OpenRuntime) -> None:
    """Also where nothing else comes that would fill its buffer."""
    async with (
        open_runtime(counting) as runtime,
        listening(runtime, send_within=timedelta(milliseconds=1)) as client,
    ):
        client.reads = anyio.Event()
        client.feed.answer("hello")
        await client.until(lambda: client.ended is not None)

    assert Ending.SLOW is client.ended


async def test_subscriptions_are_counted(open_runtime: OpenRuntime) -> None:
    """One more than allowed is refused, and the others go on; what is unsubscribed from is free again."""
    async with open_runtime(counting) as runtime, listening(runtime, subscriptions=3) as client:
        runs = [await runtime.start(counting, 0) for _ in range(4)]
        for run in runs[:3]:
            await client.feed.follow_run(run.id)
        for _ in range(1_000):
            with pytest.raises(SubscriptionLimitError) as caught:
                await client.feed.follow_run(runs[3].id)
        with pytest.raises(SubscriptionLimitError):
            await client.feed.follow_all()
        assert await client.feed.unfollow(Topic.run(runs[0].id))
        await client.feed.follow_run(runs[3].id)

    assert 3 == caught.value.limit


@pytest.mark.parametrize(
    "wish",
    [
        {"pipeline": "countin"},
        {"after": {str(number): 1 for number in range(1_001)}},
        {"after": {"\0": 1}},
        {"newer_than": "\0"},
    ],
    ids=["unknown", "too many", "no id", "no id, too"],
)
async def test_wide_subscriptions_that_cannot_be(open_runtime: OpenRuntime, wish: dict[str, Any]) -> None:
    """They are refused, and count for nothing."""
    async with open_runtime(counting) as runtime, listening(runtime, subscriptions=1) as client:
        with pytest.raises((SubscriptionError, DefinitionError)):
            await client.feed.follow_all(**wish)
        await client.feed.follow_all()


def test_limits_that_make_no_sense() -> None:
    """They are refused where they are given."""
    for limits in ({"buffer": 0}, {"subscriptions": True}, {"send_within": timedelta()}):
        with pytest.raises(DefinitionError, match=next(iter(limits))):
            FeedLimits(**limits)


async def test_what_happens_while_a_client_is_looked_up_is_told(open_runtime: OpenRuntime) -> None:
    """The host takes its time to say whether the run may be heard, and the run goes on meanwhile."""
    asked, answers = anyio.Event(), anyio.Event()

    async def may(action: Action, run: RunSummary | None) -> bool:  # whatever it is
        asked.set()
        await answers.wait()
        return True

    async with open_runtime(counting) as runtime, listening(runtime, Access("a", may=may)) as client:
        handle = await runtime.start(counting, 0)
        await handle.result()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.feed.follow_run, handle.id)
            await asked.wait()
            await handle.annotate("meanwhile")
            await anyio.wait_all_tasks_blocked()
            answers.set()
        await handle.annotate("afterwards")
        await client.until(lambda: len(client.got) == 7)

    assert list(range(1, 8)) == client.numbers(handle.id)


async def test_what_one_subscription_does_not_cover_another_one_may(open_runtime: OpenRuntime) -> None:
    """A run of another pipeline is no part of the first one."""
    async with open_runtime(counting, telling) as runtime, listening(runtime) as client:
        other = await runtime.start(telling, 0)
        await other.result()
        await client.feed.follow_all("counting", after={other.id: 2**53})
        await anyio.wait_all_tasks_blocked()
        await client.feed.follow_all()
        await other.annotate("heard")
        await client.until(lambda: client.got)

    assert {other.id} == {event.run_id for event in client.got}


async def test_what_is_asked_for_anew_is_told_anew(open_runtime: OpenRuntime) -> None:
    """From where the last subscription that names the run says, as the reference tells."""
    async with open_runtime(counting) as runtime, listening(runtime) as client:
        await client.feed.follow_all()
        handle = await runtime.start(counting, 1)
        await client.until(lambda: client.ends() == 1)
        heard, last = len(client.got), client.got[-1].seq
        await client.feed.follow_run(handle.id, after=3)
        await client.until(lambda: client.ends() == 2)
        await client.feed.follow_all(after={handle.id: 0})
        await handle.annotate("comes next")
        await client.until(lambda: client.got[-1].type == "PIPELINE_ANNOTATED")

    assert last is not None
    assert [*range(4, last + 2)] == client.numbers(handle.id)[heard:]


async def test_what_another_subscription_covers_is_not_lost_with_one(open_runtime: OpenRuntime) -> None:
    """Also what was yet to be read."""
    async with open_runtime(counting) as runtime, listening(runtime, buffer=1) as client:
        handle = await runtime.start(counting, 0)
        await handle.result()
        seq = await client.feed.follow_run(handle.id, after=2**53)
        await client.feed.follow_all()
        client.reads = anyio.Event()
        for note in "abcd":
            await handle.annotate(note)
            await anyio.wait_all_tasks_blocked()
        await client.feed.unfollow(Topic.run(handle.id))
        client.reads.set()
        await client.until(lambda: len(client.got) == 4)

    assert list(range(seq + 1, seq + 5)) == client.numbers(handle.id)


async def test_what_another_subscription_covers_is_not_lost_while_it_is_asked_about(
    open_runtime: OpenRuntime,
) -> None:
    """The host takes its time to say whether a run may be heard, and one of two subscriptions that cover it ends."""
    asked, answers = anyio.Event(), anyio.Event()

    async def may(action: Action, run: RunSummary | None) -> bool:  # whatever it is
        if run is not None:
            asked.set()
            await answers.wait()
        return True

    async with open_runtime(counting) as runtime, listening(runtime, Access("a", may=may)) as client:
        await client.feed.follow_all()
        await client.feed.follow_all("counting")
        handle = await runtime.start(counting, 0)
        await handle.result()
        await asked.wait()
        await client.feed.unfollow(Topic.pipeline("counting"))
        answers.set()
        await handle.annotate("afterwards")
        await client.until(lambda: client.got and client.got[-1].type == "PIPELINE_ANNOTATED")

    assert list(range(1, 7)) == client.numbers(handle.id)


# --------------------------------------------------------------------- who may
def of_tag(tag: str) -> Access:
    """An access to the runs that have a tag, which may hear of all there is."""

    async def may(action: Action, run: RunSummary | None) -> bool:
        return action is Action.SUBSCRIBE and (run is None or tag in run.tags)

    return Access(tag, may=may)


async def test_each_subscription_is_asked_about(open_runtime: OpenRuntime) -> None:
    """Of a run that one may not see nothing comes, whether it is named, covered, or said to be known."""
    async with open_runtime(counting) as runtime, listening(runtime, of_tag("mine")) as client:
        theirs = await runtime.start(counting, 3, tags=["theirs"])
        await theirs.result()
        with pytest.raises(RunNotFoundError) as refused:
            await client.feed.follow_run(theirs.id)
        with pytest.raises(RunNotFoundError) as unknown:
            await client.feed.follow_run("0" * 22)
        await client.feed.follow_all(after={theirs.id: 1}, newer_than="0")
        also = await runtime.start(counting, 3, tags=["theirs"])
        mine = await runtime.start(counting, 3, tags=["mine"])
        await also.result()
        await client.until(lambda: client.ends() == 1)

    assert str(unknown.value).replace("0" * 22, theirs.id) == str(refused.value)
    assert (list(range(1, 9)), {mine.id}) == (client.numbers(mine.id), {event.run_id for event in client.got})


async def test_who_may_not_hear_of_all_is_refused(open_runtime: OpenRuntime) -> None:
    """Also where single runs may be heard."""
    access = Access("a", may=lambda action, run: run is not None)
    async with open_runtime(counting) as runtime, listening(runtime, access) as client:
        handle = await runtime.start(counting, 0)
        await client.feed.follow_run(handle.id)
        with pytest.raises(ForbiddenError):
            await client.feed.follow_all()


async def test_namespaces_hear_nothing_of_each_other(
    clock: FakeClock, storage: Callable[[], Storage]
) -> None:
    """Neither of runs nor of everything, on one storage, with equal keys."""
    one = Runtime(storage(), pipelines=[counting], clock=clock, namespace="one")
    two = Runtime(storage(), pipelines=[counting], clock=clock, namespace="two")
    hubs = Hubs()
    async with one, two, listening(one, hubs=hubs) as client, listening(two, hubs=hubs) as other:
        await client.feed.follow_all(newer_than="0")
        await other.feed.follow_all()
        mine = await one.start(counting, 1, key="k")
        theirs = await two.start(counting, 1, key="k")
        with pytest.raises(RunNotFoundError):
            await client.feed.follow_run(theirs.id)
        await client.until(lambda: client.ends() == 1)
        await other.until(lambda: other.ends() == 1)

    assert ({mine.id}, {theirs.id}) == tuple({event.run_id for event in each.got} for each in (client, other))


async def test_an_access_that_expires_ends_the_feed(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """At its time, whatever is subscribed to."""
    access = Access("a", expires_at=clock.now() + timedelta(minutes=5))
    async with open_runtime(counting) as runtime, listening(runtime, access) as client:
        await client.feed.follow_all()
        await clock.advance(timedelta(minutes=4))
        assert client.ended is None
        await clock.advance(timedelta(minutes=1))
        await client.until(lambda: client.ended is not None)

    assert Ending.EXPIRED is client.ended


# --------------------------------------------------------------------- ends
async def test_a_runtime_that_closes_ends_its_feeds(open_runtime: OpenRuntime) -> None:
    """They are told why; opened anew it has another hub, and a closed one has none."""
    hubs, runtime = Hubs(), open_runtime(counting)
    async with anyio.create_task_group() as tasks:
        async with runtime:
            first = hubs.of(runtime)
            feed: Feed[Any] = Feed(first, Visitor(ANYBODY, runtime))
            client = Client(feed)
            feed.__enter__()
            tasks.start_soon(client.serve)
            await feed.follow_all()
        with anyio.fail_after(5):
            await client.until(lambda: client.ended is not None)
        feed.__exit__(None, None, None)
    with pytest.raises(RuntimeNotOpenError):
        hubs.of(runtime)
    async with runtime:
        second = hubs.of(runtime)
        second.leave(client.feed, ())

    assert Ending.CLOSING is client.ended
    assert first is not second


async def test_who_comes_while_the_last_one_goes_hears(open_runtime: OpenRuntime) -> None:
    """The hub that he was given has ended before he joined it."""
    hubs = Hubs()
    async with open_runtime(counting) as runtime:
        async with listening(runtime, hubs=hubs) as first:
            await first.feed.follow_all()
            await (await runtime.start(counting, 0)).result()
            feed: Feed[Any] = Feed(hubs.of(runtime), Visitor(ANYBODY, runtime))
        await anyio.wait_all_tasks_blocked()
        with feed:
            client = Client(feed)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.serve)
                await feed.follow_all()
                handle = await runtime.start(counting, 0)
                await client.until(lambda: client.ends() == 1)
                assert client.ended is None
                feed.end(Ending.LEFT)

    assert list(range(1, 6)) == client.numbers(handle.id)


async def test_nothing_is_left_when_the_last_client_goes(open_runtime: OpenRuntime) -> None:
    """No subscription of the bus, no index, no hub."""
    hubs = Hubs()
    async with open_runtime(counting) as runtime:
        async with listening(runtime, hubs=hubs) as client:
            hub = hubs.of(runtime)
            await client.feed.follow_all()
        another = hubs.of(runtime)
        another.leave(client.feed, ())
        left = runtime.bus._subscriptions, hub._listeners, hub._members

    assert hub is not another
    assert ((), {}, {}) == left
