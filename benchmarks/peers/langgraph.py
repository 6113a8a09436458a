"""LangGraph: a chain of nodes, a new thread id per run, with the saver of the case."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count, pairwise
from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.load import PAD, OneRun, Setting
from benchmarks.stores import is_postgres, path_of


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
    """Prepare runs in a database, through the async saver for it."""
    async with _saver(setting.database) as saver:
        await saver.setup()
        yield _runs(setting, saver)


def _saver(url: str) -> AbstractAsyncContextManager[AsyncPostgresSaver | AsyncSqliteSaver]:
    # One connection, as its documentation shows. A pool would not be faster: the saver lets one caller in at a time.
    if is_postgres(url):
        return AsyncPostgresSaver.from_conn_string(url)
    return AsyncSqliteSaver.from_conn_string(path_of(url))


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
