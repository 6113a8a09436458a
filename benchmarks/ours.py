"""phaseline: the same chain of phases in memory, through an open runtime, and in a database."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import reduce

from pydantic import BaseModel

from benchmarks.load import PAD, OneRun, Setting
from phaseline import Phase, Pipeline, Runtime, phase
from phaseline.storage.sql.store import SqlStorage


class State(BaseModel):
    """What goes through the phases."""

    n: int
    pad: str


@asynccontextmanager
async def memory(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs without a runtime: each uses the private one in memory."""
    yield _runs(_pipeline(setting.phases))


@asynccontextmanager
async def queue(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs on an open runtime in memory, in its queue where no seat is free."""
    pipeline = _pipeline(setting.phases)
    async with Runtime(storage="memory", pipelines=[pipeline]):
        yield _runs(pipeline)


@asynccontextmanager
async def durable(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs in a database, with the library's default settings."""
    pipeline = _pipeline(setting.phases)
    SqlStorage(setting.database).migrate()
    async with Runtime(storage=setting.database, pipelines=[pipeline]):
        yield _runs(pipeline)


def _pipeline(phases: int) -> Pipeline[State, State]:
    first, *others = (_phase(f"p{number}") for number in range(phases))
    return Pipeline("bench", reduce(lambda chain, one: chain >> one, others, first))


def _phase(name: str) -> Phase[State, State]:
    @phase(name=name)
    async def add_one(state: State) -> State:
        return State(n=state.n + 1, pad=state.pad)

    return add_one


def _runs(pipeline: Pipeline[State, State]) -> OneRun:
    async def one_run() -> int:
        return (await pipeline.run(State(n=0, pad=PAD))).output.n

    return one_run
