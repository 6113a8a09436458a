"""The product's own command, ``python -m phaseline.recipes.task_preparation``, with its bodies written down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs
from effects import note_async, noted

from phaseline import Context, phase
from phaseline.recipes.task_preparation import (
    Decompose,
    EnrichedSubtask,
    Prompt,
    Subtask,
    Task,
    enrich,
    generate_prompts,
    pipeline,
)
from phaseline.recipes.task_preparation.__main__ import main


class NotedDecompose(Decompose):
    name = "decompose"

    async def run(self, task: Task, ctx: Context) -> list[Subtask]:
        await note_async(ctx.phase, "begin", ctx)
        subtasks = await super().run(task, ctx)
        await note_async(ctx.phase, "end", ctx)
        return subtasks


def noted_enrich(subtask: Subtask, ctx: Context) -> EnrichedSubtask:
    with noted(ctx):
        return enrich(subtask, ctx)


def noted_generate_prompts(subtasks: list[EnrichedSubtask], ctx: Context) -> list[Prompt]:
    with noted(ctx):
        return generate_prompts(subtasks, ctx)


def like(original: Any, body: Callable[..., Any]) -> Any:
    """Make a phase with the options of another one."""
    return phase(**attrs.asdict(original.options, recurse=False))(body)


pipeline.Decompose = NotedDecompose
pipeline.enrich = like(enrich, noted_enrich)
pipeline.generate_prompts = like(generate_prompts, noted_generate_prompts)
sys.exit(main())
