"""The three phases of task preparation, each around the part that it calls.

Each comes in two kinds, so that the engine calls in a thread what may block, and awaits what does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tenacity import wait_exponential_jitter

from phaseline import Context, Phase, Retry, phase
from phaseline.errors import EncodeError
from phaseline.recipes.task_preparation.models import EnrichedSubtask, Prompt, Subtask, Task
from phaseline.recipes.task_preparation.parts import (
    Decomposer,
    Enricher,
    PromptWriter,
    SubtaskGenerated,
    is_async,
    tells_subtasks,
)
from phaseline.recipes.task_preparation.plans import PlanLimits, checked_plan

RETRY: Final = Retry(attempts=4, wait=wait_exponential_jitter(initial=1, max=30, exp_base=2, jitter=1))
"""Three tries after the first, waiting 1, 2 and 4 s and up to a second of chance, never above 30 s."""

_decompose: Final = phase(name="decompose", queue="decomposition", label="DECOMPOSING", retry=RETRY)
_enrich: Final = phase(name="enrich", queue="enrichment", label="ENRICHING", retry=RETRY)
_generate: Final = phase(name="generate_prompts", queue="pipeline", label="GENERATING_PROMPTS", retry=RETRY)


def decompose_with(decomposer: Decomposer, limits: PlanLimits) -> Phase[Task, list[Subtask]]:
    """Make the phase that takes a task apart, checks the plan, and tells each subtask.

    It fails with ``InvalidPlanError``, without another try, where the plan is none.
    """

    def checked(given: object, task: Task, ctx: Context) -> list[Subtask]:
        subtasks = checked_plan(task.title, given, limits)
        if not tells_subtasks(decomposer):
            _tell(subtasks, ctx)
        return subtasks

    if is_async(decomposer):

        @_decompose
        async def awaited(task: Task, ctx: Context) -> list[Subtask]:
            given: Any = decomposer(task, ctx)
            return checked(await given, task, ctx)

        return awaited

    @_decompose
    def called(task: Task, ctx: Context) -> list[Subtask]:
        return checked(decomposer(task, ctx), task, ctx)

    return called


def enrich_with(enricher: Enricher) -> Phase[Subtask, EnrichedSubtask]:
    """Make the phase that adds to one subtask what its project asks for."""
    if is_async(enricher):

        @_enrich
        async def awaited(subtask: Subtask, ctx: Context) -> EnrichedSubtask:
            given: Any = enricher(subtask, await ctx.run_input(Task), ctx)
            return _same(subtask, await given)

        return awaited

    @_enrich
    def called(subtask: Subtask, ctx: Context) -> EnrichedSubtask:
        return _same(subtask, enricher(subtask, ctx.blocking.run_input(Task), ctx))

    return called


def generate_prompts_with(prompt_writer: PromptWriter) -> Phase[list[EnrichedSubtask], list[Prompt]]:
    """Make the phase that writes the prompts."""
    if is_async(prompt_writer):

        @_generate
        async def awaited(subtasks: list[EnrichedSubtask], ctx: Context) -> list[Prompt]:
            given: Any = prompt_writer(await ctx.run_input(Task), subtasks, ctx)
            return _listed(await given)

        return awaited

    @_generate
    def called(subtasks: list[EnrichedSubtask], ctx: Context) -> list[Prompt]:
        return _listed(prompt_writer(ctx.blocking.run_input(Task), subtasks, ctx))

    return called


def _tell(subtasks: Sequence[Subtask], ctx: Context) -> None:
    for index, subtask in enumerate(subtasks, start=1):
        ctx.emit(SubtaskGenerated(draft=1, index=index, total=len(subtasks), subtask=subtask))
        ctx.progress(index, len(subtasks), subtask.title)


def _same(subtask: Subtask, enriched: object) -> EnrichedSubtask:
    """Refuse what is another subtask: others depend on it by its title."""
    what = f"what the enricher made of subtask {subtask.title!r}"
    if not isinstance(enriched, EnrichedSubtask):
        problem = f"it is of type {type(enriched).__name__}; give an EnrichedSubtask"
        raise EncodeError(what, [problem], says="is refused")
    changed = [
        f"its field {field!r} was changed; an enricher adds, and leaves what is there"
        for field in Subtask.model_fields
        if getattr(subtask, field) != getattr(enriched, field)
    ]
    if changed:
        raise EncodeError(what, changed, says="is refused")
    return enriched


def _listed(prompts: object) -> list[Prompt]:
    """Let any sequence pass; what is in it is checked when it is stored."""
    if not isinstance(prompts, Sequence) or isinstance(prompts, str | bytes):
        problem = f"it is of type {type(prompts).__name__}; give a list of Prompts"
        raise EncodeError("what the prompt writer gave", [problem], says="is refused")
    return list(prompts)  # pyright: ignore[reportUnknownArgumentType]  # isinstance cannot see type arguments
