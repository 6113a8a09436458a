"""The three phases of task preparation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from tenacity import wait_exponential_jitter

from phaseline import Context, CustomEvent, Phase, Retry, phase
from phaseline.recipes.task_preparation.enrichment import enrich_subtask
from phaseline.recipes.task_preparation.models import (
    Decomposition,
    EnrichedSubtask,
    Prompt,
    Subtask,
    Task,
)
from phaseline.recipes.task_preparation.prompts import write_prompts

RETRY = Retry(attempts=4, wait=wait_exponential_jitter(initial=1, max=30, exp_base=2, jitter=1))
"""Three tries after the first, waiting 1, 2 and 4 s and up to a second of chance, never above 30 s."""


class Decomposer(Protocol):
    """Whatever takes a task apart: the recipe's templates, a model provider, people."""

    async def decompose(self, task: Task) -> Sequence[Subtask]:
        """Give the subtasks; their titles are unique, and dependencies name titles without a cycle."""
        ...


class SubtaskGenerated(CustomEvent):
    """A subtask was made of the task."""

    index: int
    """From 1 to ``total``."""
    total: int
    subtask: Subtask


class Decompose(Phase[Task, list[Subtask]]):
    """Takes the task apart, and tells each subtask.

    Raises:
        pydantic.ValidationError: What the decomposer gave is no decomposition.
    """

    queue = "decomposition"
    label: ClassVar[str | None] = "DECOMPOSING"
    retry: ClassVar[Retry | None] = RETRY

    def __init__(self, decomposer: Decomposer) -> None:
        self._decomposer = decomposer

    async def run(self, task: Task, ctx: Context) -> list[Subtask]:
        """Ask the decomposer, and check what it gives."""
        subtasks = Decomposition(subtasks=tuple(await self._decomposer.decompose(task))).subtasks
        for index, subtask in enumerate(subtasks, start=1):
            ctx.emit(SubtaskGenerated(index=index, total=len(subtasks), subtask=subtask))
            ctx.progress(index, len(subtasks), subtask.title)
        return list(subtasks)


@phase(queue="enrichment", label="ENRICHING", retry=RETRY)
def enrich(subtask: Subtask, ctx: Context) -> EnrichedSubtask:
    """Add what the task's project asks of one subtask."""
    return enrich_subtask(subtask, ctx.blocking.run_input(Task))


@phase(queue="pipeline", label="GENERATING_PROMPTS", retry=RETRY)
def generate_prompts(subtasks: list[EnrichedSubtask], ctx: Context) -> list[Prompt]:
    """Write one prompt for each category, in dependency order."""
    return write_prompts(ctx.blocking.run_input(Task), subtasks)
