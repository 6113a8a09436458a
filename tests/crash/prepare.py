"""The product's own command, ``python -m phaseline.recipes.task_preparation``, with the calls of its parts written down."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from effects import note_async, noted

from phaseline import Context, Pipeline
from phaseline.recipes.task_preparation import (
    Catalog,
    EnrichedSubtask,
    Prompt,
    Subtask,
    Task,
    TemplateDecomposer,
    TemplateEnricher,
    TemplatePromptWriter,
    __main__,
    task_preparation_pipeline,
)


async def decompose(task: Task, ctx: Context) -> list[Subtask]:
    await note_async(ctx.phase, "begin", ctx)
    subtasks = TemplateDecomposer()(task, ctx)
    await note_async(ctx.phase, "end", ctx)
    return subtasks


def enrich(subtask: Subtask, task: Task, ctx: Context) -> EnrichedSubtask:
    with noted(ctx):
        return TemplateEnricher()(subtask, task, ctx)


def write(task: Task, subtasks: Sequence[EnrichedSubtask], ctx: Context) -> list[Prompt]:
    with noted(ctx):
        return TemplatePromptWriter()(task, subtasks, ctx)


def noted_pipeline(approval: bool, catalog: Catalog) -> Pipeline[Task, list[Prompt]]:
    return task_preparation_pipeline(decompose, enrich, write, approval=approval, catalog=catalog)


__main__.task_preparation_pipeline = noted_pipeline
sys.exit(__main__.main())
