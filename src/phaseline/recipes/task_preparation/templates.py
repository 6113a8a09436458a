"""Decomposition by templates: eight subtasks, two for each category, worded after the task. Pure and offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phaseline import Context
from phaseline.recipes.task_preparation.catalog import Catalog
from phaseline.recipes.task_preparation.content import SubtaskTexts
from phaseline.recipes.task_preparation.enrichment import enrich_subtask
from phaseline.recipes.task_preparation.kinds import kind_of
from phaseline.recipes.task_preparation.lexicon import Slot, plan
from phaseline.recipes.task_preparation.models import Effort, EnrichedSubtask, Prompt, Subtask, Task
from phaseline.recipes.task_preparation.prompts import write_prompts
from phaseline.recipes.task_preparation.reading import read
from phaseline.recipes.task_preparation.stack import stack_of
from phaseline.recipes.task_preparation.wording import Wording, fill


class TemplateDecomposer:
    """Takes a task apart by rules and word lists, without asking anybody; the same task always gives the same plan.

    Args:
        catalog: What it knows of technologies and kinds; by default what ships with the recipe.
    """

    def __init__(self, catalog: Catalog | None = None) -> None:
        self._catalog = catalog

    def __call__(self, task: Task, _ctx: Context, /) -> list[Subtask]:
        """Give the eight subtasks of the task."""
        return decompose(task, self._catalog)


class TemplateEnricher:
    """Adds what the task's stack, standards and rules, and good practice, ask for.

    Args:
        catalog: What it knows of technologies and kinds; by default what ships with the recipe.
    """

    def __init__(self, catalog: Catalog | None = None) -> None:
        self._catalog = catalog

    def __call__(self, subtask: Subtask, task: Task, _ctx: Context, /) -> EnrichedSubtask:
        """Give the subtask with what was added."""
        return enrich_subtask(subtask, task, self._catalog)


class TemplatePromptWriter:
    """Writes one prompt for each category, in dependency order.

    Args:
        catalog: What it knows of technologies and kinds; by default what ships with the recipe.
    """

    def __init__(self, catalog: Catalog | None = None) -> None:
        self._catalog = catalog

    def __call__(self, task: Task, subtasks: Sequence[EnrichedSubtask], _ctx: Context, /) -> list[Prompt]:
        """Give the prompts."""
        return write_prompts(task, subtasks, self._catalog)


def decompose(task: Task, catalog: Catalog | None = None) -> list[Subtask]:
    """Take a task apart into eight subtasks, two for each category, in the order in which to do them."""
    catalog = catalog or Catalog.read()
    texts = kind_of(task, catalog).subtask
    reading = read(task.title, task.description, catalog.by_word)
    wording = Wording(task, reading, stack_of(task, catalog), catalog.by_word)
    titles = {key: fill(text.title, wording.fields) for key, text in texts.items()}
    return [_subtask(slot, texts[slot.key], wording, titles, at) for at, slot in enumerate(plan().subtask, 1)]


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
