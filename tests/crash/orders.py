"""A process that sees to it that numbered orders are carried out: those that are not there yet it starts.

Each order has an idempotency key, so a process that goes on where another one died does exactly as that one did.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
from tests.crash.journal import Journal

from phaseline import (
    Context,
    Dag,
    Dep,
    Pipeline,
    Rate,
    Retry,
    Run,
    RunHandle,
    RunState,
    Runtime,
    branch,
    each,
    phase,
    start_child,
)
from phaseline._shell import clock
from phaseline.errors import KeyConflictError, PhaselineError, ScheduleNotFoundError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.accounts import Moment, Reply
from phaseline.testing.faults import Faults, die

JOURNAL: Dep[Journal] = Dep("journal")
PAUSE = 0.1
"""Seconds that each of ten phases takes, so that faults strike in between."""
CALL_AGAIN = 0.05
"""Seconds until a caller asks again whose storage was out of reach."""


# --------------------------------------------------------------------- a chain, a map, a step and a retry
@phase
async def receive(number: int, ctx: Context) -> list[int]:
    with ctx.dep(JOURNAL).noted(ctx):
        return [number, number + 1, number + 2]


@phase
def weigh(item: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return item * 10


@phase(retry=Retry(attempts=2, wait=timedelta(seconds=0.2)))
async def settle(weights: list[int], ctx: Context) -> int:
    journal = ctx.dep(JOURNAL)

    def pay() -> int:
        journal.note(ctx, Moment.BEGIN, "pay")
        return sum(weights)

    journal.note(ctx, Moment.BEGIN)
    paid = await ctx.step("pay", pay)
    journal.note(ctx, Moment.KEPT, "pay")
    if ctx.attempt == 1:
        raise OSError("the first try fails")
    journal.note(ctx, Moment.END)
    return paid


# --------------------------------------------------------------------- a diamond with a map in it, a branch, a sleep
@phase
async def add_up(weights: list[int], ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return sum(weights)


@phase
async def count(items: list[int], ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return len(items)


async def join(total: int, counted: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return total + counted


def is_heavy(total: int) -> bool:
    return total > 80


@phase
async def by_hand(total: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return total + 1


@phase
async def by_truck(total: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return total + 2


@phase(retry=Retry(attempts=2, wait=timedelta(seconds=0.1)))
async def close(total: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        if ctx.attempt == 1:
            raise OSError("the first try fails")
        return total


def shapes() -> Pipeline[int, int]:
    """What runs beside each other, what is taken apart, what is not chosen, and what waits."""
    dag = Dag("shapes", int)
    items = dag.add(receive, dag.input)
    total = dag.add(each(weigh, limit=2) >> add_up, items)
    joined = dag.add(join, total, dag.add(count, items))
    moved = dag.add(branch(is_heavy, by_truck, by_hand), joined)
    return dag.build(dag.add(close, dag.sleep_for(timedelta(seconds=0.05), moved)))


# --------------------------------------------------------------------- runs that start runs, and wait for them
parcel = Pipeline("parcel", weigh)
parcels = Pipeline("parcels", each(start_child(parcel), limit=2))


# --------------------------------------------------------------------- ten phases
def ten_phases() -> Any:
    """A chain of ten."""
    first, *others = [phase(name=f"p{number}")(_step_on) for number in range(10)]
    return reduce(lambda chain, following: chain >> following, others, first)


async def _step_on(number: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        await anyio.sleep(PAUSE)
        return number + 1


# --------------------------------------------------------------------- one that takes its time, and is tried again
@phase(retry=Retry(attempts=2, wait=timedelta(seconds=1.5)))
async def ponder(number: int, ctx: Context) -> int:
    ctx.dep(JOURNAL).note(ctx, Moment.BEGIN)
    await anyio.sleep(1)
    if ctx.attempt == 1:
        raise OSError("the first try fails")
    ctx.dep(JOURNAL).note(ctx, Moment.END)
    return number


# --------------------------------------------------------------------- one that is soon done
@phase
async def tick(number: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        return number


# --------------------------------------------------------------------- one that shares a limit
@phase
async def hold(number: int, ctx: Context) -> int:
    journal = ctx.dep(JOURNAL)
    with journal.noted(ctx):
        journal.count("+")
        await anyio.sleep(0.02)
        journal.count("-")
        return number


# --------------------------------------------------------------------- one that is always late
@phase(sla=timedelta(milliseconds=100))
async def dawdle(number: int, ctx: Context) -> int:
    with ctx.dep(JOURNAL).noted(ctx):
        await anyio.sleep(0.25)
        return number


# --------------------------------------------------------------------- one that kills whoever carries it out
@phase
async def explode(number: int, ctx: Context) -> int:
    journal = ctx.dep(JOURNAL)
    with journal.noted(ctx):
        if number == 0 and not journal.mending.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        await anyio.sleep(0.05)
        return number


PIPELINES: dict[str, Pipeline[int, Any]] = {
    "order": Pipeline("order", receive >> each(weigh, limit=2) >> settle),
    "shapes": shapes(),
    "family": Pipeline("family", receive >> start_child(parcels) >> settle),
    "long": Pipeline("long", ten_phases()),
    "slow": Pipeline("slow", ponder),
    "tick": Pipeline("tick", tick),
    "hold": Pipeline("hold", hold),
    "late": Pipeline("late", dawdle, sla=timedelta(milliseconds=100)),
    "bomb": Pipeline("bomb", explode),
}
LAST = {
    "order": "settle",
    "shapes": "close",
    "family": "settle",
    "long": "p9",
    "slow": "ponder",
    "tick": "tick",
    "hold": "hold",
    "late": "dawdle",
    "bomb": "explode",
}
"""The phase that gives the output."""


# --------------------------------------------------------------------- the process
async def main(given: argparse.Namespace) -> None:
    """Do what is asked for, and print what came of it."""
    storage = SqlStorage(given.storage, schema=given.schema)
    faults = Faults(storage)
    if given.die:
        point, _, hit = given.die.partition(":")
        faults.at(point, die, hit=int(hit))
    pipeline, journal = PIPELINES[given.pipeline], Journal(given.journal)
    runtime = Runtime(
        storage, pipelines=[pipeline, parcels, parcel], lease=timedelta(seconds=given.lease), serve=not given.submit_only,
        deps={JOURNAL: journal}, concurrency=given.concurrency,
        age_after=None if given.age_after is None else timedelta(seconds=given.age_after),
    )  # fmt: skip
    if given.together:
        journal.arrive()
        while journal.arrived < given.together:  # noqa: ASYNC110  # other processes arrive
            await anyio.sleep(0.005)
    async with runtime:
        while given.go is not None and not await anyio.Path(given.go).exists():  # noqa: ASYNC110  # another process makes the file
            await anyio.sleep(0.005)
        if given.end is not None:
            found = await _keep_schedule(runtime, pipeline, Path(given.end))
        elif given.key is None:
            found = await _at_once(given.runs, partial(_carry_out, runtime, pipeline, journal, given))
        else:
            found = await _at_once(
                given.runs, partial(_share, runtime, pipeline, journal, given.key, given.input)
            )
    print(json.dumps({"found": found, "passed": faults.passed}))  # noqa: T201  # for the test that started this process


async def _at_once(times: int, do: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Do something in as many tasks at once; each is given its number."""
    found: dict[int, Any] = {}

    async def one(number: int) -> None:
        found[number] = await do(number)

    async with anyio.create_task_group() as tasks:
        for number in range(times):
            tasks.start_soon(one, number)
    return [found[number] for number in range(times)]


async def _carry_out(
    runtime: Runtime, pipeline: Pipeline[int, Any], journal: Journal, given: argparse.Namespace, number: int
) -> tuple[str, Any]:
    """Have an order carried out; gives its end."""
    key = f"{pipeline.name} {number}"
    handle: RunHandle[Any] = await _patiently(
        lambda: runtime.start(
            pipeline,
            number,
            key=key,
            priority=given.priorities[number] if given.priorities else 100,
            delay=timedelta(seconds=given.delay),
            concurrency_key=given.limit_key,
            concurrency=given.limit,
            rate=None if given.rate is None else Rate(given.rate, per=timedelta(seconds=given.per)),
        )
    )
    journal.write(Reply(run_id=handle.id, key=key))
    run: Run[Any] = await _patiently(handle.wait)
    output = run.output if run.state == RunState.COMPLETED else None
    outputs = {LAST[pipeline.name]: json.dumps(output)} if run.state == RunState.COMPLETED else {}
    journal.write(Reply(run_id=run.id, key=key, state=run.state, outputs=outputs))
    return run.state, output


async def _keep_schedule(runtime: Runtime, pipeline: Pipeline[int, Any], end: Path) -> list[Any]:
    """Have an order begin each second, here or in a process beside this one, until a file is there."""
    second = timedelta(seconds=1)
    await runtime.schedules.put("ticks", pipeline, input=1, every=second, overlap="allow", catch_up="all")
    while not await anyio.Path(end).exists():  # noqa: ASYNC110  # another process makes the file
        await anyio.sleep(0.05)
    with suppress(ScheduleNotFoundError):  # somebody was faster
        await runtime.schedules.delete("ticks")
    while await runtime.find(ended=False).count():  # noqa: ASYNC110  # as above
        await anyio.sleep(0.05)
    return []


async def _share(
    runtime: Runtime, pipeline: Pipeline[int, Any], journal: Journal, key: str, value: int, _: int
) -> str:
    """Start a run under a key that others use too; gives its id, or why not."""
    try:
        handle = await runtime.start(pipeline, value, key=key)
    except KeyConflictError as error:
        return f"conflict with {error.run_id}"
    journal.write(Reply(run_id=handle.id, key=key))
    await handle.result()
    return handle.id


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again for as long as the storage is out of reach, as a client would."""
    while True:
        try:
            return await call()
        except PhaselineError as error:
            if not error.retryable:
                raise
            await anyio.sleep(CALL_AGAIN)


def set_wall_clock(off: timedelta) -> None:
    """Have phaseline's clock see a wall clock that is wrong."""
    clock.time = SimpleNamespace(time=lambda: time.time() + off.total_seconds())
    seen = clock.SystemClock().now() - datetime.now(UTC)
    assert abs(seen - off) < timedelta(seconds=1), f"the wall clock is off by {seen}, and should be by {off}"


def command_line(arguments: Sequence[str] | None = None) -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", choices=PIPELINES)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--schema", default="phaseline")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=1, help="how many orders; their inputs are 0, 1, 2, …")
    parser.add_argument("--key", help="start one order from as many tasks, under this key")
    parser.add_argument("--input", type=int, default=0, help="of the order under the key")
    parser.add_argument("--go", help="a file: wait for it before the first start")
    parser.add_argument(
        "--together", type=int, default=0, help="processes that wait for each other before they serve"
    )
    parser.add_argument("--end", help="a file: have orders begin by a schedule until it is there")
    parser.add_argument("--lease", type=float, default=30)
    parser.add_argument("--delay", type=float, default=0, help="seconds until an order may be begun")
    parser.add_argument("--priorities", type=json.loads, help="of the orders, as a list in JSON")
    parser.add_argument("--age-after", type=float, help="seconds after which what waits goes first")
    parser.add_argument("--concurrency", type=int, default=256, help="bodies at once in this process")
    parser.add_argument("--limit-key", help="of the limit that orders share")
    parser.add_argument("--limit", type=int, help="how many of them may be carried out at once")
    parser.add_argument("--rate", type=int, help="how many of them may be begun in a time")
    parser.add_argument("--per", type=float, help="that time, in seconds")
    parser.add_argument("--submit-only", action="store_true", help="carry nothing out here")
    parser.add_argument(
        "--clock-off", type=float, default=0, help="seconds by which the wall clock is wrong here"
    )
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument("--die", help="a fault point and which time it is passed: commit.end:3")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    set_wall_clock(timedelta(seconds=given.clock_off))
    anyio.run(main, given, backend=given.backend)


if __name__ == "__main__":
    command_line()
