"""Decomposition by templates: eight subtasks, two for each category, worded after the task. Pure and offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anyio import to_thread

from phaseline.recipes.task_preparation.catalog import Slot, SubtaskTexts, TaskKind, plan
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.models import Decomposition, Effort, Subtask, Task
from phaseline.recipes.task_preparation.reading import read
from phaseline.recipes.task_preparation.stack import stack_of
from phaseline.recipes.task_preparation.wording import Wording, fill


class TemplateDecomposer:
    """Takes a task apart by rules and word lists, without asking anybody.

    Args:
        kinds: The kinds of tasks it knows; by default those that ship with the recipe.
    """

    def __init__(self, kinds: Sequence[TaskKind] | None = None) -> None:
        self._kinds = kinds

    async def decompose(self, task: Task) -> Sequence[Subtask]:
        """Give the eight subtasks of the task; the same task always gives the same ones."""
        # In a thread: the texts are read from files at first, and a task may be long.
        return await to_thread.run_sync(decompose, task, self._kinds)


def decompose(task: Task, kinds: Sequence[TaskKind] | None = None) -> list[Subtask]:
    """Take a task apart into eight subtasks, two for each category, in the order in which to do them."""
    texts = kind_of(task, kinds).subtask
    wording = Wording(task, read(task.title, task.description), stack_of(task))
    titles = {key: fill(text.title, wording.fields) for key, text in texts.items()}
    made = (_subtask(slot, texts[slot.key], wording, titles, at) for at, slot in enumerate(plan().subtask, 1))
    return list(Decomposition(subtasks=tuple(made)).subtasks)


def _subtask(
    slot: Slot, texts: SubtaskTexts, wording: Wording, titles: Mapping[str, str], place: int
) -> Subtask:
    own = list(dict.fromkeys(line for source in texts.per for line in wording.lines(source, slot.category)))
    least, most = (base + len(own) * each for base, each in zip(slot.hours, slot.hours_per, strict=True))
    return Subtask(
        category=slot.category,
        title=titles[slot.key],
        description=fill(texts.description, wording.fields),
        requirements=(*(fill(line, wording.fields) for line in texts.requirements), *own),
        dependencies=tuple(titles[key] for key in slot.needs),
        estimated_effort=Effort(min_hours=least, max_hours=most),
        priority=place,
    )
