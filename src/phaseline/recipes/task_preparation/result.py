"""What a run made of a task, as one document: JSON for programs, Markdown that is ready to be pasted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Literal

from pydantic import TypeAdapter

from phaseline import Event, RunHandle
from phaseline.recipes.task_preparation.markdown import inline
from phaseline.recipes.task_preparation.models import Prompt, Subtask, Value, in_dependency_order

_PLAN = TypeAdapter(tuple[Subtask, ...])


class PreparedTask(Value):
    """The plan that a run followed, and the prompts that it gave."""

    schema_version: Literal[1] = 1
    """Version of this shape: a field that is added leaves it as it is."""
    run_id: str
    """Id of the run that prepared it."""
    subtasks: tuple[Subtask, ...]
    """Each after those it depends on."""
    prompts: tuple[Prompt, ...]
    """In the order in which to follow them."""

    def to_json(self, *, indent: int | None = 2) -> str:
        """Give it as JSON; ``PreparedTask.model_validate_json`` reads it back.

        Args:
            indent: Spaces of each level; None writes one line.
        """
        return self.model_dump_json(indent=indent) + "\n"

    def to_markdown(self) -> str:
        """Give it as Markdown: the plan, and each prompt behind a line of its own."""
        parts = [_plan(self.subtasks), *(prompt.text for prompt in self.prompts)]
        return "\n---\n\n".join(part for part in parts if part)


async def prepared_task(handle: RunHandle[list[Prompt]]) -> PreparedTask:
    """Give what a run made of its task.

    Args:
        handle: Of a run that has ended.

    Raises:
        RunNotSettledError: It has not ended.
        PipelineFailedError, PipelineCancelledError, PipelineRolledBackError: It ended without prompts.
        StorageError: It cannot be read.
    """
    prompts = (await handle.run()).output
    plan = plan_told([event async for event in handle.events()]) or await _plan_stored(handle)
    return PreparedTask(run_id=handle.id, subtasks=tuple(in_dependency_order(plan)), prompts=tuple(prompts))


def plan_told(events: Iterable[Event]) -> list[Subtask]:
    """Give the plan that the events of a run tell of last: the newest draft, or what a person put in its place.

    Args:
        events: In their order. While a model writes, the plan is the part of it that was told; for a run that was forked
            from another one, of which those events tell, it may be empty.
    """
    draft: list[Subtask] = []
    edited: list[Subtask] = []
    for event in events:
        if event.type == "SUBTASK_GENERATED":
            if event.data["index"] == 1:
                draft, edited = [], []
            draft.append(Subtask.model_validate(event.data["subtask"]))
        elif event.type == "PLAN_REVIEWED":
            # The last review counts: who approves takes the draft, whatever was edited before.
            edited = [Subtask.model_validate(subtask) for subtask in event.data["subtasks"]]
    return edited or draft


async def _plan_stored(handle: RunHandle[list[Prompt]]) -> list[Subtask]:
    """Give the plan of a run that took it over from another one, whose events told of it."""
    outputs = {phase.path: phase.output for phase in (await handle.export()).phases}
    found = outputs.get("apply_review") or outputs.get("decompose")
    return [] if found is None or found.value is None else list(_PLAN.validate_python(found.value))


def _plan(subtasks: Sequence[Subtask]) -> str:
    """Give the plan as a numbered list, in which each subtask names those before it that it needs."""
    if not subtasks:
        return ""
    numbers = {subtask.title: number for number, subtask in enumerate(subtasks, start=1)}
    effort = reduce(add, (subtask.estimated_effort for subtask in subtasks))
    lines = [
        f"{number}. {inline(subtask.title)} ({_facts(subtask, numbers)})"
        for number, subtask in enumerate(subtasks, start=1)
    ]
    return f"# Plan\n\nEstimated at {effort} in all.\n\n" + "\n".join(lines) + "\n"


def _facts(subtask: Subtask, numbers: Mapping[str, int]) -> str:
    needed = sorted(numbers[title] for title in subtask.dependencies if title in numbers)
    after = f"; after {', '.join(map(str, needed))}" if needed else ""
    return f"{subtask.category.label}, {subtask.estimated_effort}{after}"
