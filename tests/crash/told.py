"""A worker that tells what it commits over Redis, until it is killed."""

from __future__ import annotations

import sys

import anyio

from phaseline import Context, CustomEvent, Pipeline, Runtime, phase


class Passed(CustomEvent):
    """A phase was passed."""

    number: int


@phase(name="first")
async def first(value: int, ctx: Context) -> int:
    ctx.emit(Passed(number=value))
    return value


@phase(name="second")
async def second(value: int, ctx: Context) -> int:
    await anyio.sleep(0.002)
    ctx.emit(Passed(number=value))
    return value


telling = Pipeline("telling", first >> second)


async def work(storage: str, transport: str) -> None:
    """Take up whatever there is."""
    async with Runtime(storage, pipelines=[telling], transport=transport, concurrency=4):
        print("working", flush=True)  # noqa: T201  # who started it waits for this
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(work, *sys.argv[1:])
