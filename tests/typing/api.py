"""A user's code, with the type of every expression that the library gives one to.

Checked by pyright and mypy, both strict, and never run: ``assert_type`` does nothing at run time.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol, assert_type

import tenacity
from pydantic import BaseModel

from phaseline import (
    Abort,
    Again,
    Checkpoint,
    Context,
    CustomEvent,
    Dag,
    Dep,
    Err,
    Event,
    EventBus,
    Finish,
    Ok,
    Orphans,
    Phase,
    PhaseRecord,
    Pipeline,
    Ref,
    Retry,
    Run,
    RunHandle,
    Runtime,
    Signal,
    Skip,
    Skipped,
    StateMachine,
    Subscription,
    Transitions,
    branch,
    each,
    parallel,
    phase,
    start_child,
    templates,
    wait_for,
    when,
)
from phaseline._definition.children import StartedRun
from phaseline._definition.compose import Branch, Each, Parallel, When
from phaseline._definition.context import BlockingContext
from phaseline._definition.phase import FunctionPhase
from phaseline._definition.step import Chain, Node, Wait
from phaseline.console import watch
from phaseline.crypto import EncryptedCodec, encrypted
from phaseline.events import ErrorOccurred, PipelineCompleted, PipelineFailed
from phaseline.machine import Change, MachineSnapshot
from phaseline.rows import ErrorInfo, StateChange
from phaseline.storage.encoded import EncodedStorage
from phaseline.sync import SyncHandle, SyncRuntime


class Doc(BaseModel):
    text: str


class Note(Doc):
    author: str


class Words(BaseModel):
    items: list[str]


class Mailer(Protocol):
    async def send(self, to: str, *, copies: int = 1) -> int: ...
    def address_of(self, name: str) -> str: ...


class WordsCounted(CustomEvent):
    number: int


MAILER = Dep[Mailer]("mailer")


# --------------------------------------------------------------------- phases as functions
@phase
async def stars(number: int) -> str:
    return "*" * number


@phase
async def greet(name: str, ctx: Context) -> str:
    return f"{name} at {ctx.run_id}"


@phase
def words(doc: Doc) -> list[str]:
    return doc.text.split()


@phase
def shout(text: str, ctx: Context) -> str:
    return f"{text} ({ctx.attempt})".upper()


@phase
def size(word: str) -> int:
    return len(word)


@phase
def store(number: int) -> None:
    assert_type(number, int)


assert_type(stars, FunctionPhase[int, str])
assert_type(greet, FunctionPhase[str, str])
assert_type(words, FunctionPhase[Doc, list[str]])
assert_type(shout, FunctionPhase[str, str])
assert_type(store, FunctionPhase[int, None])


@phase(retry=Retry(5, wait=timedelta(seconds=1)), timeout=timedelta(seconds=2))
async def slow_stars(number: int) -> str:
    return "*" * number


@phase(name="hello", queue="mail", requires=(MAILER,))
async def hello(name: str, ctx: Context) -> int:
    return await ctx.dep(MAILER).send(name)


@phase(label="TAKING_APART")
def take_apart(doc: Doc) -> Words:
    return Words(items=doc.text.split())


@phase(retry=Retry(retry=tenacity.retry_if_exception_type(OSError), stop=tenacity.stop_after_delay(60)))
def first(items: Words, ctx: Context) -> str:
    return items.items[ctx.attempt]


assert_type(slow_stars, FunctionPhase[int, str])
assert_type(hello, FunctionPhase[str, int])
assert_type(templates.load("x.toml"), Pipeline[Any, Any])
assert_type(
    templates.load("x.toml", input=Doc, output=list[str], phases=[words, stars]), Pipeline[Doc, list[str]]
)
assert_type(templates.loads("", phases={"words": words}), Pipeline[Any, Any])
assert_type(templates.loads("", format="json", input=str, output=int, phases=[hello]), Pipeline[str, int])
assert_type(stars.with_options(name="more", timeout=timedelta(seconds=3)), FunctionPhase[int, str])
assert_type(take_apart, FunctionPhase[Doc, Words])
assert_type(first, FunctionPhase[Words, str])


# --------------------------------------------------------------------- phases as classes, and the context
class Split(Phase[Doc, Words]):
    retry = Retry(attempts=3, wait=tenacity.wait_fixed(1))
    timeout = timedelta(minutes=1)
    requires = (MAILER,)

    async def run(self, doc: Doc, ctx: Context) -> Words:
        mailer = ctx.dep(MAILER)
        assert_type(mailer, Mailer)
        assert_type(await ctx.step("send", mailer.send, "me", copies=2), int)
        assert_type(await ctx.step("look up", mailer.address_of, "me"), str)
        assert_type(await ctx.save(doc), bool)
        assert_type(ctx.saved_as(Doc), Doc | None)
        assert_type(await ctx.run_input(Doc), Doc)
        assert_type(await ctx.result_of(words), list[str])
        assert_type(await ctx.result_of(words >> each(size)), list[int])
        assert_type(ctx.emit(WordsCounted(number=3)), None)
        assert_type(ctx.progress(1, total=3, note="one"), None)
        assert_type(ctx.log, logging.LoggerAdapter[logging.Logger])
        assert_type(ctx.item, int | None)
        assert_type(ctx.deadline, datetime | None)
        assert_type(ctx.idempotency_key, str)
        if ctx.cancelled:
            raise Abort("nobody waits for it")
        return Words(items=doc.text.split())


class Count(Phase[Words, int]):
    def run(self, found: Words, context: Context) -> int:
        blocking = context.blocking
        assert_type(blocking, BlockingContext)
        assert_type(blocking.step("look up", context.dep(MAILER).address_of, "me"), str)
        assert_type(blocking.step("send", context.dep(MAILER).send, "me", copies=2), int)
        assert_type(blocking.run_input(Doc), Doc)
        assert_type(blocking.result_of(Split()), Words)
        if not found.items:
            raise Skip("no words", output=0)
        if len(found.items) > 1_000:
            raise Again(timedelta(minutes=1), "too many at once")
        return len(found.items)


assert_type(Split().options.timeout, timedelta | None)

# --------------------------------------------------------------------- composition
assert_type(Split() >> Count(), Chain[Doc, int])
assert_type(Split().then(Count()), Chain[Doc, int])
assert_type(Split() >> Count() >> stars >> greet >> shout, Chain[Doc, str])
assert_type(Split().then(Count()).then(stars), Chain[Doc, str])
assert_type(words >> each(size), Chain[Doc, list[int]])
assert_type(each(size), Each[str, int])
assert_type(each(size, limit=4, on_error="fail"), Each[str, int])
assert_type(each(size, on_error="collect"), Each[str, Ok[int] | Err | Skipped])
assert_type(words >> each(size, on_error="collect"), Chain[Doc, list[Ok[int] | Err | Skipped]])
sized: Node[Iterable[str], list[int]] = each(size)

ingest = Pipeline("ingest", Split() >> Count() >> stars >> shout, version="2", retry=Retry())
assert_type(ingest, Pipeline[Doc, str])
assert_type(Pipeline("one", stars), Pipeline[int, str])
assert_type(Pipeline("outer", ingest >> size), Pipeline[Doc, int])
assert_type(Pipeline("many", words >> each(Pipeline("inner", size >> stars))), Pipeline[Doc, list[str]])
assert_type(ingest.transitions, Transitions[str])


# --------------------------------------------------------------------- forks and choices
def is_long(text: str) -> bool:
    return len(text) > 3


def is_big(number: int) -> bool:
    return number > 3


@phase
def joined(both: tuple[Words, list[str]]) -> int:
    return len(both[0].items) + len(both[1])


@phase
def twice(number: int) -> int:
    return 2 * number


@phase
def either(value: str | int) -> str:
    return str(value)


assert_type(parallel(Split(), words), Parallel[Doc, tuple[Words, list[str]]])
assert_type(parallel(Split(), words) >> joined, Chain[Doc, int])
assert_type(parallel(stars, twice, twice >> stars), Parallel[int, tuple[str, int, str]])
assert_type(parallel(stars, twice, stars, twice), Parallel[int, tuple[str, int, str, int]])
assert_type(
    parallel(stars, twice, stars, twice, stars, twice, stars, twice),
    Parallel[int, tuple[str, int, str, int, str, int, str, int]],
)
assert_type(
    parallel(twice, twice, twice, twice, twice, twice, twice, twice, twice), Parallel[int, tuple[int, ...]]
)
assert_type(when(is_long, shout), When[str])
assert_type(stars >> when(is_long, shout), Chain[int, str])
assert_type(branch(is_big, stars, twice), Branch[int, str | int])
assert_type(branch(is_big, stars, twice) >> either, Chain[int, str])
assert_type(words >> each(when(is_long, shout)), Chain[Doc, list[str]])
assert_type(each(each(twice)), Each[Iterable[int], list[int]])
assert_type(Pipeline("forked", parallel(stars, twice)), Pipeline[int, tuple[str, int]])
forked: Node[int, tuple[object, int]] = parallel(stars, twice)


# --------------------------------------------------------------------- graphs
async def report(doc: Doc, found: Words, number: int) -> str:
    return f"{doc.text} {len(found.items)} {number}"


def summed(left: int, right: int, ctx: Context) -> int:
    return left + right + ctx.attempt


def six(a: int, b: int, c: int, d: int, e: int, f: str) -> list[str]:  # noqa: PLR0917  # as many as a graph takes
    return [f] * (a + b + c + d + e)


def perhaps(text: str | None, number: int) -> str:
    return f"{text} {number}"


dag = Dag("report", Doc)
assert_type(dag.input, Ref[Doc])
found_words = dag.add(Split(), dag.input)
number = dag.add(Count(), found_words, after=[dag.input])
assert_type(found_words, Ref[Words])
assert_type(number, Ref[int])
assert_type(dag.add(report, dag.input, found_words, number), Ref[str])
assert_type(dag.add(summed, number, number, name="summed", retry=Retry(3)), Ref[int])
assert_type(dag.add(six, number, number, number, number, number, dag.add(stars, number)), Ref[list[str]])
assert_type(dag.add(perhaps, dag.add(stars, number), number), Ref[str])
assert_type(dag.add(when(is_big, twice), number), Ref[int])
assert_type(dag.add(stars, number, number, join="any", cancel_rest=True), Ref[str])
assert_type(dag.build(dag.add(report, dag.input, found_words, number)), Pipeline[Doc, str])
assert_type(dag.build(number, also=[found_words], version="2"), Pipeline[Doc, int])
assert_type(ingest.to_mermaid(), str)
assert_type(ingest.to_dict(), dict[str, Any])
assert_type(ingest.input_schema(), dict[str, Any])


@phase(may_finish=True)
def give_up(number: int) -> int:
    raise Finish("nothing found")


assert_type(give_up, FunctionPhase[int, int])


# What takes more, or gives less, than it must, fits.
@phase
def is_true(value: object) -> bool:
    return bool(value)


assert_type(Split() >> is_true, Chain[Doc, bool])
as_input: Node[Note, int] = Split() >> Count()
as_output: Node[Doc, object] = ingest
as_pipeline: Pipeline[Note, object] = ingest


# --------------------------------------------------------------------- waits
class Approval(BaseModel):
    by: str


APPROVED = Signal[Approval]("approved")
STARS = Signal[str | None]("stars")
HOUR = timedelta(hours=1)


@phase
async def judged(decided: tuple[str, Approval]) -> int:
    assert_type(decided[1].by, str)
    return len(decided[0])


assert_type(APPROVED, Signal[Approval])
assert_type(APPROVED.name, str)
assert_type(wait_for(APPROVED), Wait[object, Approval])
assert_type(wait_for(STARS, timeout=HOUR, default=None), Wait[object, str | None])
assert_type(ingest.wait_for(APPROVED), Chain[Doc, tuple[str, Approval]])
assert_type(ingest.wait_for(APPROVED, timeout=HOUR, default=Approval(by="me")) >> judged, Chain[Doc, int])
assert_type((Split() >> Count()).sleep_for(HOUR), Chain[Doc, int])
assert_type((Split() >> Count()).sleep_for(HOUR, name="nap") >> stars, Chain[Doc, str])
assert_type(ingest >> wait_for(APPROVED), Chain[Doc, Approval])
assert_type(each(Pipeline("one", shout.wait_for(APPROVED) >> judged)), Each[str, int])
assert_type(start_child(ingest), StartedRun[Doc, str])
assert_type(start_child(ingest, close="abandon", name="apart", queue="slow") >> shout, Chain[Doc, str])
assert_type(ingest >> start_child(Pipeline("louder", shout)) >> shout, Chain[Doc, str])
assert_type(each(start_child(ingest)), Each[Doc, str])
assert_type(each(start_child(ingest), on_error="collect"), Each[Doc, Ok[str] | Err | Skipped])
assert_type(Pipeline("parent", start_child(ingest)), Pipeline[Doc, str])
approvals = Pipeline("approvals", ingest.wait_for(APPROVED) >> judged)
assert_type(approvals, Pipeline[Doc, int])

asking = Dag("asking", Doc)
asked_words = asking.add(Split(), asking.input)
assert_type(asking.add(start_child(ingest), asking.input), Ref[str])
approval = asking.wait_for(APPROVED, after=[asked_words], timeout=HOUR)
assert_type(approval, Ref[Approval])
assert_type(asking.wait_for(STARS, timeout=HOUR, default="*"), Ref[str | None])
assert_type(asking.sleep_for(HOUR, asked_words), Ref[Words])
assert_type(approvals.signal_schemas(), dict[str, dict[str, Any]])


async def look(handle: RunHandle[str]) -> None:
    assert_type(await watch(handle), Run[str])


async def send(handle: RunHandle[str]) -> None:
    assert_type(await handle.signal(APPROVED, Approval(by="me"), key="1", id="mail"), None)
    assert_type(await handle.signal(STARS, None), None)


# --------------------------------------------------------------------- runs
async def run_without_runtime(mailer: Mailer) -> None:
    run = await ingest.run(Doc(text="to be"), deps={MAILER: mailer})
    assert_type(run, Run[str])
    assert_type(run.output, str)
    assert_type(run.state, str)
    assert_type(run.phases, Mapping[str, PhaseRecord])
    assert_type(run.history, tuple[StateChange, ...])
    assert_type(run.checkpoints, tuple[Checkpoint, ...])
    assert_type(run.duration, timedelta | None)
    assert_type(await ingest(Note(text="to be", author="me")), str)
    wider: list[Run[object]] = [run]
    assert_type(wider[0].output, object)


def run_without_loop(runtime: Runtime) -> None:
    assert_type(ingest.run_sync(Doc(text="to be")), Run[str])
    assert_type(ingest.run_sync(Doc(text="to be"), runtime=runtime).output, str)


def run_on_a_thread(runtime: SyncRuntime) -> None:
    with runtime as same:
        assert_type(same, SyncRuntime)
    handle = runtime.start(
        ingest, Doc(text="to be"), key="doc-1", delay=timedelta(minutes=1), tags=["urgent"]
    )
    assert_type(handle, SyncHandle[str])
    assert_type(handle.result(), str)
    assert_type(handle.wait(timedelta(seconds=1)), Run[str])
    assert_type(handle.fork("split"), SyncHandle[str])
    assert_type(handle.signal(APPROVED, Approval(by="me")), None)
    assert_type(handle.result_of(Split()), Words)
    assert_type([event.type for event in handle.events()], list[str])
    assert_type(runtime.run(ingest, Doc(text="to be")), Run[str])
    assert_type(runtime.get("id", ingest), SyncHandle[str])
    assert_type(runtime.get("id"), SyncHandle[object])
    inner = runtime.runtime
    assert_type(runtime.call(inner.start, ingest, Doc(text="to be"), key="doc-1"), RunHandle[str])
    assert_type(runtime.call(inner.find().count), Mapping[str, int])
    assert_type([run.id for run in runtime.walk(inner.find(state="FAILED"))], list[str])


async def run_on_runtime(bus: EventBus) -> None:
    options = Runtime("sqlite:///runs.db", pipelines=[ingest], lease=timedelta(seconds=5), bus=bus)
    async with options as runtime:
        assert_type(runtime, Runtime)
        assert_type(await ingest.run(Doc(text="to be"), runtime=runtime), Run[str])
        assert_type(await runtime.run(ingest, Doc(text="to be")), Run[str])
        handle = await runtime.start(ingest, Note(text="to be", author="me"), priority=1)
        assert_type(handle, RunHandle[str])
        assert_type(handle.id, str)
        assert_type(await handle.state(), str)
        assert_type(await handle.result(), str)
        assert_type(await handle.wait(timedelta(seconds=1)), Run[str])
        assert_type(await handle.run(), Run[str])
        assert_type(await handle.checkpoints(), tuple[Checkpoint, ...])
        assert_type(await handle.result_of(Split()), Words)
        assert_type(await handle.result_of("size"), object)
        runtime.events(pipeline=ingest)
        assert_type(await runtime.within("acme"), Runtime)
        assert_type(await handle.pause(reason="why", actor="ada"), None)
        assert_type(await handle.resume(), None)
        assert_type(await handle.cancel(), None)
        assert_type(await handle.retry(), None)
        assert_type(await handle.rerun_from("split"), None)
        assert_type(await handle.restart(), None)
        assert_type(await handle.annotate("seen"), None)
        assert_type(await handle.fork(at="split"), RunHandle[str])
        assert_type((await handle.export(values=False)).to_json(), str)
        assert_type(await runtime.control("id", "cancel", reason="why"), None)
        assert_type(handle.events(after=3), AsyncIterator[Event])
        assert_type([event.type async for event in handle.events()], list[str])
        assert_type(await runtime.orphans(), Sequence[Orphans])
        assert_type(await runtime.get("id"), RunHandle[object])
        assert_type(await runtime.get("id", ingest), RunHandle[str])
        assert_type(await (await runtime.get("id", ingest)).result(timedelta(minutes=1)), str)


# --------------------------------------------------------------------- events
def observe(bus: EventBus) -> None:
    def print_type(event: Event) -> None:
        assert_type(event.seq, int | None)
        assert_type(event.data, dict[str, Any])

    async def send_type(event: Event) -> None:
        assert_type(event.type, str)

    assert_type(bus.subscribe(print_type), Subscription)
    assert_type(bus.subscribe(send_type, types=[Event, WordsCounted, "PHASE_FAILED"], run="id"), Subscription)

    @bus.subscribe(types=[WordsCounted])
    async def count(event: Event) -> None:
        assert_type(event.run_id, str)

    assert_type(count, Subscription)
    assert_type(count.cancel(), None)


def observe_some(bus: EventBus) -> None:
    def end(event: PipelineCompleted) -> None:
        assert_type(event.run_id, str)

    async def alert(event: ErrorOccurred) -> None:
        assert_type(event.error, ErrorInfo)

    assert_type(bus.subscribe(end, types=[PipelineCompleted]), Subscription)
    assert_type(bus.subscribe(alert, types={ErrorOccurred}, own=True), Subscription)
    Runtime(on_error=alert)

    @bus.subscribe(types=[PipelineCompleted])
    async def thank(event: PipelineCompleted) -> None:
        assert_type(event.run_id, str)

    @bus.subscribe(types=[PipelineCompleted, PipelineFailed])
    def either(event: Event) -> None:
        assert_type(event.run_id, str)

    assert_type(thank, Subscription)
    assert_type(either, Subscription)


# --------------------------------------------------------------------- storages
class Reversing:
    def encode(self, text: str, /) -> str:
        return text[::-1]

    decode = encode


assert_type(encrypted("sqlite:///runs.db", Reversing()), EncodedStorage)
assert_type(encrypted("sqlite:///runs.db", EncryptedCodec({"1": bytes(32)})), EncodedStorage)


# --------------------------------------------------------------------- state machines
class Lamp(Enum):
    OFF = 1
    ON = 2
    BROKEN = 3


LAMP = Transitions({Lamp.OFF: [Lamp.ON], Lamp.ON: [Lamp.OFF, Lamp.BROKEN], Lamp.BROKEN: []}, initial=Lamp.OFF)
lamp = StateMachine(LAMP, settled=[Lamp.OFF])


@lamp.guard(Lamp.OFF, Lamp.ON)
def has_power(change: Change[Lamp]) -> str | None:
    return None if change.source is Lamp.OFF else "no power"


@lamp.after
def show(change: Change[Lamp]) -> None:
    assert_type(change.target, Lamp)


assert_type(LAMP, Transitions[Lamp])
assert_type(lamp, StateMachine[Lamp])
assert_type(lamp.state, Lamp)
assert_type(lamp.to(Lamp.ON, reason="dark"), Change[Lamp])
assert_type(lamp.can(Lamp.BROKEN), bool)
assert_type(lamp.allowed(), frozenset[Lamp])
assert_type(lamp.history, tuple[Change[Lamp], ...])
assert_type(lamp.snapshot(), MachineSnapshot)
assert_type(StateMachine.restore(LAMP, lamp.snapshot()), StateMachine[Lamp])
assert_type(StateMachine(Transitions({"on": ["off"], "off": []}, initial="on")).state, str)
