"""Who is told of events, and how."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Context, CustomEvent, Event, EventBus, Pipeline, Runtime, phase
from phaseline.errors import DefinitionError, RuntimeUsageError
from phaseline.events import Emitted, PipelineCompleted
from phaseline.storage.memory import MemoryStorage
from phaseline.transports.memory import MemoryTransport

THREAD = "phaseline-bus"


class Seen(CustomEvent):
    words: list[str]


@phase
async def see(value: int, ctx: Context) -> int:
    ctx.emit(Seen(words=["a"]))
    return value


pipeline = Pipeline("see", see)


def where() -> str:
    """Say on which thread this is: the loop's own or the bus's."""
    name = threading.current_thread().name
    return THREAD if name.startswith(THREAD) else "loop"


class Async:
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        self.seen.append(where())


class Handed:
    """A sync handler that hands out a coroutine."""

    def __init__(self) -> None:
        self.inner = Async()
        self.seen = self.inner.seen

    def __call__(self, event: Event) -> Any:
        return self.inner(event)


@pytest.mark.parametrize("make", [Async, Handed])
async def test_whatever_can_be_awaited_is(open_runtime: OpenRuntime, make: Callable[[], Any]) -> None:
    """A handler may be async in any way; what it awaits, it awaits on the event loop."""
    handler = make()
    async with open_runtime(pipeline) as runtime:
        subscription = runtime.bus.subscribe(handler, types=[PipelineCompleted])
        await runtime.run(pipeline, 0)

    assert (["loop"], 1, 0) == (handler.seen, subscription.handled, subscription.failed)


async def test_a_lambda_may_give_a_coroutine(open_runtime: OpenRuntime) -> None:
    """It is no different from an async function."""
    handler = Async()
    async with open_runtime(pipeline) as runtime:
        runtime.bus.subscribe(lambda event: handler(event), types=["PIPELINE_COMPLETED"])  # noqa: PLW0108  # that is the test
        await runtime.run(pipeline, 0)

    assert ["loop"] == handler.seen


async def test_sync_handlers_have_a_thread(open_runtime: OpenRuntime) -> None:
    """They may block without delaying a run."""
    seen: list[str] = []
    async with open_runtime(pipeline) as runtime:
        runtime.bus.subscribe(lambda event: seen.append(where()), types=[PipelineCompleted])
        await runtime.run(pipeline, 0)

    assert [THREAD] == seen


@pytest.mark.parametrize("kind", [Emitted, CustomEvent, Seen, "SEEN"], ids=range(4))
async def test_events_of_the_application(open_runtime: OpenRuntime, kind: Any) -> None:
    """They are asked for one by one, or all at once by their base."""
    async with open_runtime(pipeline) as runtime:
        subscription = runtime.bus.subscribe(lambda event: None, types=[kind])
        await runtime.run(pipeline, 0)

    assert 1 == subscription.handled


async def test_events_of_one_pipeline(open_runtime: OpenRuntime) -> None:
    """Those of runs of others are not heard; each event names the pipeline, live and read again."""
    other = Pipeline("other", see)
    heard: list[str] = []
    async with open_runtime(pipeline, other) as runtime:
        runtime.bus.subscribe(lambda event: heard.append(event.pipeline), pipeline="see")
        for one in (pipeline, other):
            handle = await runtime.start(one, 0)
            await handle.result()
        stored = {event.pipeline async for event in handle.events()}

    assert ({"see"}, {"other"}) == (set(heard), stored)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"buffer": 0}, ["buffer=0", "1 or more"]),
        ({"buffer": "9"}, ["buffer='9'"]),
        ({"types": "PHASE_COMPLETED"}, ["types=['PHASE_COMPLETED']"]),
        ({"types": PipelineCompleted}, ["types=[PipelineCompleted]"]),
        ({"types": [Event]}, ["names no kind of event", "leave types out"]),
        ({"types": [3]}, ["types=[3]"]),
        ({"run": 3}, ["run=3", "handle.id"]),
        ({"pipeline": pipeline}, ["pipeline.name"]),
        ({"pipeline": ""}, ["names no pipeline"]),
    ],
    ids=range(9),
)
def test_subscriptions_that_would_hear_nothing(options: dict[str, Any], words: list[str]) -> None:
    """They are refused at once."""
    with pytest.raises(DefinitionError) as caught:
        EventBus().subscribe(lambda event: None, **options)

    assert [] == [word for word in words if word not in str(caught.value)], caught.value


class Leaving:
    """A sync handler, called in a thread, that would end the process."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __call__(self, event: Event) -> None:
        raise self.error


class LeavingLoop(Leaving):
    """The same on the event loop."""

    async def __call__(self, event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        raise self.error


@pytest.mark.parametrize(
    "handler",
    [
        Leaving(SystemExit),
        Leaving(KeyboardInterrupt),
        Leaving(asyncio.CancelledError),
        LeavingLoop(SystemExit),
    ],
    ids=["exit", "interrupt", "cancelled", "exit on the loop"],
)
async def test_a_handler_ends_no_run(open_runtime: OpenRuntime, handler: Leaving) -> None:
    """Whatever it raises is counted; the run, its caller and the next events are not touched."""
    async with open_runtime(pipeline) as runtime:
        subscription = runtime.bus.subscribe(handler, types=[PipelineCompleted])
        outputs = [(await runtime.run(pipeline, n)).output for n in (1, 2)]

    assert ([1, 2], 2) == (outputs, subscription.failed)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_handler_that_meets_the_end_of_another_task(open_runtime: OpenRuntime) -> None:
    """A cancellation of what it awaits is not one of its own: it hears the next event."""

    async def wait_for_nothing(event: Event) -> None:
        other = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(other.cancel)
        await other

    async with open_runtime(pipeline) as runtime:
        subscription = runtime.bus.subscribe(wait_for_nothing, types=[PipelineCompleted])
        outputs = [(await runtime.run(pipeline, n)).output for n in (1, 2)]

    assert ([1, 2], 2) == (outputs, subscription.failed)


async def test_an_observer_ends_no_run(open_runtime: OpenRuntime) -> None:
    """It is called where the run is carried forward, and still cannot end it."""

    def leave(events: object) -> None:
        raise SystemExit

    async with open_runtime(pipeline) as runtime:
        runtime.bus.observe(leave)
        run = await runtime.run(pipeline, 1)

    assert 1 == run.output


def test_what_is_no_function_is_no_handler() -> None:
    """It could never be called."""
    handler: Any = 3
    with pytest.raises(DefinitionError, match="no function"):
        EventBus().subscribe(handler)


@pytest.mark.parametrize(
    "handler", [lambda: None, lambda event, more: None, lambda *, event: None], ids=range(3)
)
def test_a_function_that_does_not_take_the_event_is_no_handler(handler: Any) -> None:
    """It would fail at each event, and nobody be told before the first one."""
    with pytest.raises(DefinitionError, match=r"<lambda>.*called with the event alone"):
        EventBus().subscribe(handler)


def test_what_a_handler_takes_is_told_by_itself() -> None:
    """Not by the function that it wraps, to which it may give more."""

    def two(event: Event, more: int) -> None: ...

    @wraps(two)
    def one(event: Event) -> None:
        two(event, 1)

    for handler in (one, lambda event, more=1: None, lambda *events: None, partial(two, more=1), print):
        EventBus().subscribe(handler)


class NoThreads:
    async def run(self, fn: Callable[[], object]) -> object:
        return fn()


@pytest.mark.parametrize("in_thread", [False, True], ids=["loop", "thread"])
async def test_a_cancelled_subscription_leaves_no_task(*, in_thread: bool) -> None:
    """What serves it ends with it, wherever it is cancelled."""
    bus = EventBus()
    with anyio.fail_after(5):
        await subscribe_and_cancel(bus, in_thread=in_thread)


async def subscribe_and_cancel(bus: EventBus, *, in_thread: bool) -> None:
    """Do it 50 times, and wait until every task has ended by itself."""
    async with anyio.create_task_group() as tasks:
        bus.open(tasks.start_soon, NoThreads())
        for _ in range(50):
            subscription = bus.subscribe(lambda event: None)
            await anyio.lowlevel.checkpoint()
            if in_thread:
                await anyio.to_thread.run_sync(subscription.cancel)
            else:
                subscription.cancel()


@pytest.mark.parametrize("transport", [None, MemoryTransport()], ids=["alone", "transport"])
async def test_a_bus_is_of_one_open_runtime_at_a_time(transport: MemoryTransport | None) -> None:
    """Two would each serve its handlers, and with a transport tell them what the other one has told."""
    bus, heard = EventBus(), list[str]()

    async def hear(event: Event) -> None:
        heard.append(event.type)

    bus.subscribe(hear)
    first, second = (
        Runtime(MemoryStorage(), pipelines=[pipeline], bus=bus, transport=transport) for _ in range(2)
    )
    async with first:
        with pytest.raises(RuntimeUsageError, match="another open runtime"):
            await second.__aenter__()
        await first.run(pipeline, 0)
    once = list(heard)
    async with second:
        await second.run(pipeline, 0)

    assert once
    assert once * 2 == heard


async def test_a_subscription_that_is_added_while_the_bus_opens_has_one_pump() -> None:
    """Two would hand it events out of order: another thread may open the bus between its being added and its start."""
    bus = EventBus()
    pumps: list[object] = []
    changing = bus._changing

    class OpeningAfterwards:
        def __enter__(self) -> None:
            changing.acquire()

        def __exit__(self, *_: object) -> None:
            changing.release()
            bus._changing = changing
            bus.open(lambda pump, _: pumps.append(pump), threads=None)  # type: ignore[arg-type]  # no handler is called

    bus._changing = OpeningAfterwards()  # type: ignore[assignment]  # as a lock is used
    bus.subscribe(print)
    assert 1 == len(pumps)


async def test_a_handler_may_cancel_itself(open_runtime: OpenRuntime) -> None:
    """Its first event is its last."""
    calls: list[Event] = []

    def once(event: Event) -> None:
        calls.append(event)
        subscription.cancel()

    async with open_runtime(pipeline) as runtime:
        subscription = runtime.bus.subscribe(once)
        await runtime.run(pipeline, 0)
        with anyio.fail_after(5):
            while not calls:  # noqa: ASYNC110  # another thread adds to it
                await anyio.sleep(0.001)

    assert 1 == len(calls)


async def test_a_handler_cannot_change_what_happened(open_runtime: OpenRuntime) -> None:
    """Each reader of the data has a copy of its own."""

    def spoil(events: Any) -> None:
        for event in events:
            for value in event.data.values():
                if isinstance(value, list | dict):
                    value.clear()

    async with open_runtime(pipeline) as runtime:
        runtime.bus.observe(spoil)
        handle = await runtime.start(pipeline, 0)
        await handle.result()
        stored = [event async for event in handle.events() if event.type == "SEEN"]

    assert [{"words": ["a"]}] == [event.data for event in stored]


async def test_a_handler_goes_on_in_the_name_of_who_subscribed(open_runtime: OpenRuntime) -> None:
    """Its context variables are those of him, as of a request whose trace it belongs to."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    heard: list[str] = []

    async def hear(_: Event) -> None:
        heard.append(user.get())

    async def ann(runtime: Runtime) -> None:
        user.set("ann")
        runtime.bus.subscribe(hear, types=[PipelineCompleted])

    async with open_runtime(pipeline) as runtime:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ann, runtime)
        await runtime.run(pipeline, 1)
        with anyio.fail_after(10):
            while not heard:  # noqa: ASYNC110  # told beside the run
                await anyio.sleep(0.01)
    assert heard == ["ann"]
