"""A user's mistakes: each marked line is refused by both checkers, for the reasons given, and no other line is.

A mark that is not needed is an error as well, so checking this file, beside ``api.py``, is the test. It is never run.
"""
# What follows from a refused expression: nothing is known of it.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from datetime import timedelta

from api import (
    APPROVED,
    HOUR,
    LAMP,
    MAILER,
    Count,
    Doc,
    Lamp,
    Split,
    Words,
    WordsCounted,
    approval,
    approvals,
    asked_words,
    asking,
    dag,
    found_words,
    hello,
    ingest,
    is_big,
    is_long,
    joined,
    judged,
    lamp,
    number,
    report,
    shout,
    size,
    stars,
    summed,
    take_apart,
    twice,
    words,
)

from phaseline import (
    Context,
    Dep,
    EventBus,
    Phase,
    Pipeline,
    Retry,
    Runtime,
    Signal,
    StateMachine,
    branch,
    each,
    parallel,
    phase,
    start_child,
    templates,
    wait_for,
    when,
)
from phaseline._definition.step import Node
from phaseline.events import PipelineCompleted, PipelineFailed
from phaseline.machine import Change
from phaseline.sync import SyncRuntime


def want(_: object) -> None: ...
def want_int(_: int) -> None: ...
def want_text(_: str) -> None: ...
def want_words(_: Words) -> None: ...


# --------------------------------------------------------------------- composition
want(Split() >> stars)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(stars >> each(size) >> Count())  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(words >> each(stars))  # type: ignore[arg-type]  # pyright: ignore[reportOperatorIssue]
want(words >> size)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(Split().then(stars))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
want(ingest >> take_apart)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(stars >> (lambda text: text))  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
each(size, limit="4")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
each(size, on_error="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
each(len)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
Pipeline("length", len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Pipeline("stars", stars, version=2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Pipeline("stars", stars, retry=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
narrow: Node[object, str] = stars  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wrong_output: Pipeline[Doc, int] = ingest  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
numbers: Dep[int] = MAILER  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
collected: Node[list[str], list[int]] = each(size, on_error="collect")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


# --------------------------------------------------------------------- forks, choices, graphs
when(is_big, stars)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
when(is_long, twice)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
branch(is_long, stars, twice)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
want(parallel(stars, twice) >> joined)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(branch(is_big, stars, twice) >> twice)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(when(is_long, shout) >> twice)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(parallel(Split(), stars) >> joined)  # type: ignore[operator]  # pyright: ignore[reportArgumentType, reportCallIssue]
want_text(dag.add(Count(), dag.input))  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
dag.add(Count(), found_words, after=["number"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
dag.add(report, found_words, dag.input, number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
dag.add(report, dag.input, found_words)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
dag.add(summed, number, dag.input)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
dag.add(summed, number, number, timeout=2.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
dag.add(twice, number, dag.input, join="any")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
dag.add(twice, number, number, join="some")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
dag.build("report")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
wrong_graph: Pipeline[Doc, str] = dag.build(number)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]


# --------------------------------------------------------------------- waits
start_child(shout)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
start_child("ingest")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
start_child(ingest, close="terminate")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
want(start_child(ingest) >> stars >> judged)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(Split() >> start_child(ingest))  # type: ignore[arg-type]  # pyright: ignore[reportOperatorIssue]
asking.add(start_child(ingest), asked_words)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
wait_for("approved")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
want(ingest.wait_for(APPROVED) >> stars)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(ingest >> wait_for(APPROVED) >> judged)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
want(Split().sleep_for(HOUR) >> stars)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
Split().sleep_for(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
wait_for(APPROVED, timeout=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
wait_for(APPROVED, timeout=HOUR, default=True)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
wait_for(APPROVED, default=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
want_text(asking.sleep_for(HOUR, asked_words))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
asking.wait_for(APPROVED, after=["words"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
dag.add(stars, approval)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
wrong_signal: Signal[bool] = APPROVED  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
wrong_chain: Pipeline[Doc, str] = approvals  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


# --------------------------------------------------------------------- phases
class WrongOutput(Phase[Doc, int]):
    async def run(self, doc: Doc, ctx: Context) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return doc.text


class WrongInput(Phase[Doc, int]):
    def run(self, found: Words, ctx: Context) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return len(found.items)


class WrongOptions(Phase[Doc, str]):
    timeout = 2.0  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    requires = (Doc,)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    def run(self, doc: Doc, ctx: Context) -> str:
        return doc.text


def three(left: int, right: int, ctx: Context) -> int:
    return left + right + ctx.attempt


phase(three)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
phase(timeout=2.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
phase(retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
phase(requires=("mailer",))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(wait="1.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Retry(retry=OSError)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------- the context
async def use(ctx: Context) -> None:
    ctx.dep("mailer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.step("send", ctx.dep(MAILER).send, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await ctx.step("send", ctx.dep(MAILER).send)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await ctx.step("send", ctx.dep(MAILER).send, "me", times=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    want_text(await ctx.step("send", ctx.dep(MAILER).send, "me"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    want_text(await ctx.result_of(words))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    want_words(await ctx.run_input(Doc))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.emit(Doc(text="to be"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.emit(WordsCounted)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.blocking.step("size", size.run, "to be")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    want_text(ctx.blocking.step("send", ctx.dep(MAILER).send, "me"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


templates.loads("", format="yaml")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
templates.load("x.toml", input=str)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
want_text(templates.loads("", input=str, output=int).run_sync("a").output)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
stars.with_options(timeout=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
stars.with_options(limit=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# --------------------------------------------------------------------- runs
def take_end(event: PipelineCompleted) -> None: ...


async def run(runtime: Runtime, bus: EventBus) -> None:
    await ingest.run("to be")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ingest("to be")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ingest.run_sync(Words(items=[]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    want_int((await ingest.run(Doc(text="to be"))).output)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ingest.run(Doc(text="to be"), deps={"mailer": None})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    await ingest.run(Doc(text="to be"), runtime="sqlite:///runs.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(ingest, 3)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    await runtime.start(hello, "me")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.run(ingest, "to be")  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    handle = await runtime.start(ingest, Doc(text="to be"))
    await handle.result(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await handle.signal(APPROVED, True)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    await handle.signal("approved", True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await handle.signal(APPROVED)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    want_int(await handle.result())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    want_int((await handle.wait()).output)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    want_int(await (await runtime.get("id", ingest)).result())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    want_text(await (await runtime.get("id")).result())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (await handle.run()).output = "to be"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    async for event in handle.events(after=timedelta()):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        event.seq = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Runtime(pipelines=[stars])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Runtime(lease=30)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bus.subscribe(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bus.subscribe(print, types=[Doc])  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]
    bus.subscribe(take_end)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    bus.subscribe(take_end, types=[PipelineFailed])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    Runtime(on_error=take_end)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def run_on_a_thread(runtime: SyncRuntime) -> None:
    runtime.start(ingest, "to be")  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    handle = runtime.start(ingest, Doc(text="to be"))
    want_int(handle.result())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    handle.signal(APPROVED, True)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    runtime.call(runtime.runtime.start, ingest, "to be")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    runtime.call(runtime.runtime.purge)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    runtime.call(ingest.run_sync, Doc(text="to be"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SyncRuntime("sqlite:///runs.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------- state machines
lamp.to("ON")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
lamp.can(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
want_text(lamp.state)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
StateMachine(LAMP, settled=["OFF"])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
LAMP.allows(Lamp.OFF, "ON")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@lamp.before  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
def refuse(change: Change[str]) -> str | None:
    return change.source
