"""LangGraph: a chain of nodes, a new thread id per run, with the saver of the case."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count, pairwise
from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.load import PAD, OneRun, Setting


class State(TypedDict):
    """What goes through the phases: the plain dict that is fastest with it."""

    n: int
    pad: str


@asynccontextmanager
async def memory(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs on its in-memory saver."""
    yield _runs(setting, InMemorySaver())


@asynccontextmanager
async def durable(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs on a SQLite file, through its async saver."""
    async with AsyncSqliteSaver.from_conn_string(str(setting.directory / "langgraph.db")) as saver:
        await saver.setup()
        yield _runs(setting, saver)


def _runs(setting: Setting, saver: BaseCheckpointSaver[str]) -> OneRun:
    async def add_one(state: State) -> dict[str, int]:
        return {"n": state["n"] + 1}

    graph = StateGraph(State)
    names = [f"p{i}" for i in range(setting.phases)]
    for name in names:
        graph.add_node(name, add_one)
    for one, two in pairwise([START, *names, END]):
        graph.add_edge(one, two)
    compiled = graph.compile(checkpointer=saver)
    threads = count()

    async def one_run() -> int:
        config: RunnableConfig = {"configurable": {"thread_id": str(next(threads))}}
        # its default, and of the two modes that store every step the faster one: "sync" waits for each write,
        # "exit" stores only the end
        state = State(n=0, pad=PAD)
        result = await compiled.ainvoke(state, config, durability="async")
        return int(result["n"])

    return one_run
