"""A process that starts runs, or goes on with those of the storage: ``program.py PIPELINE --storage URL …``.

When all are over it prints them as one JSON list.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import anyio
from effects import note, note_async, noted

from phaseline import Context, Pipeline, RunHandle, RunState, Runtime, phase
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.faults import Faults, die


# --------------------------------------------------------------------- an order: three phases, one with two steps
@phase
async def reserve(number: int, ctx: Context) -> int:
    await note_async("reserve", "begin", ctx, number)
    await note_async("reserve", "end", ctx, number)
    return number


@phase
async def charge(number: int, ctx: Context) -> str:
    async def pay() -> str:
        await note_async("pay", "begin", ctx, number)
        return f"receipt {number}"

    async def mail() -> str:
        await note_async("mail", "begin", ctx, number)
        return "mailed"

    await note_async("charge", "begin", ctx, number)
    told = [await ctx.step("pay", pay), await ctx.step("mail", mail)]
    await note_async("charge", "end", ctx, number)
    return ", ".join(told)


@phase
def ship(text: str, ctx: Context) -> str:
    with noted(ctx, ctx.blocking.run_input(int)):
        return f"{text}, shipped"


# --------------------------------------------------------------------- a long phase that saves how far it is
@phase
async def count(number: int, ctx: Context) -> list[int]:
    done: list[int] = ctx.saved_as(list[int]) or []
    for page in range(len(done), 4):
        await note_async(f"page {page}", "begin", ctx, number)
        done.append(page)
        await ctx.save(done)
    return done


# --------------------------------------------------------------------- work whose output tells who did it
@phase
async def work(number: int, ctx: Context) -> int:
    await note_async("work", "begin", ctx, number)
    return os.getpid()


# --------------------------------------------------------------------- an order that is taken back
async def undo(_: Any, __: Any, ctx: Context) -> None:
    number = await ctx.run_input(int)
    await note_async(ctx.phase, "begin", ctx, number)
    await note_async(ctx.phase, "end", ctx, number)


@phase
async def doomed(_: str, ctx: Context) -> str:
    await note_async("doomed", "begin", ctx, await ctx.run_input(int))
    raise ValueError("it was to fail")


SAGA = (
    reserve.with_options(compensate=undo)
    >> charge.with_options(compensate=undo)
    >> ship.with_options(compensate=undo)
)
PIPELINES: dict[str, Pipeline[int, Any]] = {
    "order": Pipeline("order", reserve >> charge >> ship),
    "work": Pipeline("work", work),
    "count": Pipeline("count", count),
    "saga": Pipeline("saga", SAGA),
    "doomed": Pipeline("doomed", SAGA >> doomed, on_failure="rollback"),
}


async def main(given: argparse.Namespace) -> None:
    """Carry the runs to their ends."""
    pipeline = PIPELINES[given.pipeline]
    note("runtime", "opening")
    storage = SqlStorage(given.storage, schema=given.schema)
    faults = Faults(storage)
    if given.die and not (given.roll_back or given.fork):
        arm(faults, given.die)
    runtime = Runtime(
        storage,
        pipelines=[pipeline],
        lease=timedelta(seconds=given.lease),
        checkpoint_interval=timedelta(0),
    )
    async with runtime:
        if given.resume:
            handles = [await runtime.get(run_id, pipeline) for run_id in given.resume]
        else:
            handles = [await runtime.start(pipeline, number) for number in range(given.runs)]
            note("runs", "stored")  # held here, the loop is blocked
        if given.roll_back:
            for handle in handles:
                if (await handle.wait()).state == RunState.COMPLETED:
                    arm(faults, given.die)
                    await handle.rollback()
        if given.fork:
            copies: list[RunHandle[Any]] = []
            for handle in handles:
                await handle.wait()
                arm(faults, given.die)
                copies.append(await handle.fork(given.fork))
            handles += copies
        found = [await told(handle) for handle in handles]
    print(json.dumps(found))  # noqa: T201  # for the test that started this process


def arm(faults: Faults, what: str | None) -> None:
    """Have this process die at a point that is passed so many times from now on: ``commit.end:3``."""
    if what:
        point, _, times = what.partition(":")
        faults.at(point, die, hit=faults.passed[point] + int(times))


async def told(handle: RunHandle[Any]) -> Mapping[str, Any]:
    """Wait for a run, and tell all of it."""
    run = await handle.wait()
    events = [event async for event in handle.events()]
    return {
        "run_id": run.id,
        "state": run.state,
        "history": run.states,
        "output": run.output if run.state == RunState.COMPLETED else None,
        "events": [{"seq": e.seq, "type": e.type, "phase": e.phase, "data": e.data} for e in events],
    }


def arguments() -> argparse.Namespace:
    """What to do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pipeline", choices=PIPELINES)
    parser.add_argument("--storage", required=True)
    parser.add_argument("--schema", default="phaseline")
    parser.add_argument("--runs", type=int, default=1, help="how many to start; their inputs are 0, 1, 2, …")
    parser.add_argument("--resume", nargs="+", help="ids of runs to go on with instead")
    parser.add_argument("--roll-back", action="store_true", help="take runs that have completed back")
    parser.add_argument("--fork", help="copy runs that are over after this phase")
    parser.add_argument("--lease", type=float, default=30)
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument(
        "--die",
        help="a fault point and which time it is passed: commit.end:3; with --roll-back or --fork, after the run",
    )
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    given = arguments()
    anyio.run(main, given, backend=given.backend)
