"""pydantic-graph: a chain of steps of its GraphBuilder, nothing stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

from pydantic import BaseModel
from pydantic_graph import GraphBuilder, StepContext

from benchmarks.load import PAD, OneRun, Setting


class State(BaseModel):
    """What goes through the phases."""

    n: int
    pad: str


@asynccontextmanager
async def memory(setting: Setting) -> AsyncGenerator[OneRun, None]:
    """Prepare runs that leave nothing behind: it has no store to write to."""
    builder = GraphBuilder(input_type=State, output_type=State)

    async def add_one(ctx: StepContext[None, None, State]) -> State:
        return State(n=ctx.inputs.n + 1, pad=ctx.inputs.pad)

    steps = [builder.step(add_one, node_id=f"p{i}") for i in range(setting.phases)]
    builder.add(builder.edge_from(builder.start_node).to(steps[0]))
    for one, two in pairwise(steps):
        builder.add(builder.edge_from(one).to(two))
    builder.add(builder.edge_from(steps[-1]).to(builder.end_node))
    graph = builder.build()

    async def one_run() -> int:
        return (await graph.run(inputs=State(n=0, pad=PAD))).n

    yield one_run
